"""Archives for an initramfs: cpio's "newc" format, without root and without cpio.

The output depends on the input alone: fixed times unless given, owners and inode
numbers.
"""
import stat


class Cpio:
    def __init__(self):
        self.out = bytearray()
        self.ino = 1

    def add(self, name, mode, data=b"", rdev=(0, 0), mtime=0):
        encoded = name.encode() + b"\0"
        fields = (self.ino, mode, 0, 0, 1, mtime, len(data), 0, 0, rdev[0],
                  rdev[1], len(encoded), 0)
        self.ino += 1
        self.out += b"070701" + b"".join(b"%08X" % f for f in fields)
        self.out += encoded
        self.pad()
        self.out += data
        self.pad()

    def directory(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o755, mtime=0):
        self.add(name, stat.S_IFREG | mode, data, mtime=mtime)

    def link(self, name, target):
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def pad(self):
        self.out += b"\0" * (-len(self.out) % 4)

    def finish(self):
        """The whole archive; another may follow it in the same file."""
        self.add("TRAILER!!!", 0)
        return bytes(self.out)
