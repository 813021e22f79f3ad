#!/usr/bin/env python3
"""Keeps two idle VMs, so that the kernel is not patched whenever another comes or goes.

With the first VM and after the last the kernel rewrites its scheduler's code (a static
key, preempt_notifier_inc) by way of an INT3.  QEMU's TCG now and then goes on with
the INT3 that it had translated: both processors then take it for ever.
A vCPU with an APIC that is not enabled, and one without any (kvm_has_noapic_vcpu: our
probe makes such a one at each start), do the same for KVM's own keys.
"""
import fcntl
import os
import time

KVM_CREATE_VM, KVM_CREATE_VCPU, KVM_CREATE_IRQCHIP = 0xae01, 0xae41, 0xae60

kvm = os.open("/dev/kvm", os.O_RDWR)
for irqchip in True, False:
    vm = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
    if irqchip:
        fcntl.ioctl(vm, KVM_CREATE_IRQCHIP, 0)
    fcntl.ioctl(vm, KVM_CREATE_VCPU, 0)
if os.fork() == 0:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    while True:
        time.sleep(3600)
