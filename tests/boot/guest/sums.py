#!/usr/bin/env python3
"""Computations of many kinds; the guest must print what the host prints.

Integers of all sizes, floating point, text, compression, hashes, a database,
threads and processes.  No times, no addresses, no order of threads in the output.
"""
import bz2
import concurrent.futures
import decimal
import fractions
import hashlib
import json
import lzma
import math
import os
import random
import re
import sqlite3
import struct
import zlib


def numbers(rng):
    big = [rng.getrandbits(3000) | 1 for _ in range(40)]
    yield "product", math.prod(big) % (2 ** 521 - 1)
    yield "powers", sum(pow(a, b, 2 ** 607 - 1) for a, b in zip(big, big[1:]))
    yield "gcds", [math.gcd(a * c, b * c) % 1000003
                   for a, b, c in zip(big, big[1:], big[2:])]
    yield "roots", sum(map(math.isqrt, big)) % (2 ** 127 - 1)
    yield "fractions", str(sum(fractions.Fraction(1, n)
                               for n in range(1, 400)))[:60]
    decimal.getcontext().prec = 300
    yield "decimal", str(decimal.Decimal(2).sqrt() + decimal.Decimal(3).exp())


def floats(rng):
    xs = [rng.uniform(-50, 50) for _ in range(20000)]
    yield "fsum", math.fsum(xs).hex()
    yield "arith", sum(x * x / (abs(x) + 1) - x for x in xs).hex()
    yield "sqrt", sum(math.sqrt(abs(x)) for x in xs).hex()
    yield "repr", hashlib.md5(" ".join(map(repr, xs)).encode()).hexdigest()
    yield "pack", zlib.crc32(struct.pack(f"<{len(xs)}f", *xs))
    yield "round", sum(round(x) for x in xs) + sum(map(math.floor, xs))


def bytes_(rng):
    data = rng.randbytes(200000) + bytes(200000) + b"bhyve" * 40000
    for name in "md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b":
        yield name, hashlib.new(name, data).hexdigest()
    yield "crc", zlib.crc32(data), zlib.adler32(data)
    for m in zlib, bz2, lzma:
        yield m.__name__, m.decompress(m.compress(data)) == data
    text = data[:100000].decode("latin-1")
    yield "re", len(re.findall(r"[a-z]+[0-9]", text)), text.upper().count("A")
    yield "sort", hashlib.md5(bytes(sorted(data[:50000]))).hexdigest()
    rows = [{"n": n, "s": text[n:n + 9], "x": n / 7} for n in range(3000)]
    yield "json", json.loads(json.dumps(rows)) == rows


def database(rng):
    db = sqlite3.connect(":memory:")
    db.execute("create table t(a integer, b text, c real)")
    db.executemany("insert into t values(?,?,?)", (
        (rng.randrange(500), f"row{rng.randrange(10000)}", rng.random())
        for _ in range(20000)))
    db.execute("create index i on t(a)")
    yield "sql", db.execute(
        "select count(*), sum(a), min(b), max(b) from t where a between 50 and "
        "300").fetchall()
    yield "sql check", db.execute("pragma integrity_check").fetchall()


def piece(seed):
    rng = random.Random(seed)
    d = {}
    for _ in range(30000):
        k = rng.randrange(5000)
        d[k] = (d.get(k, 0) * 31 + k) % 1000003
    return hashlib.sha1(repr(sorted(d.items())).encode()).hexdigest()


def parallel():
    for kind in (concurrent.futures.ThreadPoolExecutor,
                 concurrent.futures.ProcessPoolExecutor):
        with kind(4) as pool:
            yield kind.__name__, list(pool.map(piece, range(8)))


def main():
    rng = random.Random(20260101)
    for part in numbers(rng), floats(rng), bytes_(rng), database(rng), \
            parallel():
        for row in part:
            print(*row)
    print("processes", os.waitstatus_to_exitcode(os.system("exit 7")))


if __name__ == "__main__":
    main()
