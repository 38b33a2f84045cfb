#!/usr/bin/env python3
"""Restore a tessera from its plan and enough of its fragments.

usage: decode.py PLAN OUTDIR FRAGMENT_FILES_OR_DIRS...

PLAN is a file named <id>.plan. OUTDIR is made and must not exist. Fragments are known by their
content, whatever they are called; folders are searched to the bottom. Needs Python 3.8 and its
standard library, and follows the written formats alone: host/fragment/FORMAT.md, host/tessera/FORMAT.md.

It checks hashes: that the id is the BLAKE3 of the head, and the BLAKE3 of each fragment, of the file
list and of every file. OUTDIR appears only when all of it was right, and the exit code is 0 only then.
It does NOT check signatures. With the id you know, the hashes prove every byte; without, they prove
only that all belongs together, and anyone could have written "owner" into the head.
"""
import calendar
import io
import os
import re
import shutil
import sys
import tarfile
import tempfile
import time
import urllib.parse


class Wrong(Exception):
    """What was given is not what it should be."""


# BLAKE3, many chunks side by side: a Python integer holds one 32-bit word of each chunk in lanes of
# 64 bits, so that one addition of large integers adds the words of all of them.
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)  # of the message words, round by round
STEPS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),  # columns, then diagonals
         (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
BATCH = 1 << 20  # bytes hashed together


def mix(v, m, ones):
    """One compression: 7 rounds over the state v with the message words m, in all lanes."""
    mask = ones * 0xFFFFFFFF
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(STEPS):
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            for word, right, left in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                va = (va + vb + word) & mask
                vd ^= va
                vd = ((vd >> right) | (vd << (32 - right))) & mask
                vc = (vc + vd) & mask
                vb ^= vc
                vb = ((vb >> left) | (vb << (32 - left))) & mask
            v[a], v[b], v[c], v[d] = va, vb, vc, vd
        m = [m[i] for i in ORDER]
    return [v[i] ^ v[i + 8] for i in range(8)]


def compress(data, unit, size, counter, last):
    """The chaining values, 32 bytes each, of the pieces of `unit` bytes in data, `size` of each used."""
    lanes = len(data) // unit
    words = memoryview(data).cast("I")
    ones = int.from_bytes(b"\1\0\0\0\0\0\0\0" * lanes, "little")
    count = counter * ones  # of chunks before this one; of parents it is zero
    if unit > 64:
        count += int.from_bytes(b"".join(i.to_bytes(8, "little") for i in range(lanes)), "little")
    low, high = count & (ones * 0xFFFFFFFF), (count >> 32) & (ones * 0xFFFFFFFF)
    cv = [word * ones for word in IV]
    blocks = max(1, -(-size // 64))
    for block in range(blocks):
        m = []
        for i in range(16):
            lane = bytearray(8 * lanes)
            memoryview(lane).cast("I")[::2] = words[block * 16 + i::unit // 4]
            m.append(int.from_bytes(lane, "little"))
        used = min(64, size - 64 * block)
        flags = (CHUNK_START if unit > 64 and block == 0 else 0) | (last if block == blocks - 1 else 0)
        cv = mix(cv + [word * ones for word in IV[:4]] + [low, high, used * ones, flags * ones], m, ones)
    out = bytearray(32 * lanes)
    for i, word in enumerate(cv):
        memoryview(out).cast("I")[i::8] = memoryview(word.to_bytes(8 * lanes, "little")).cast("I")[::2]
    return bytes(out)


def blake3_stream(read):
    """The BLAKE3 of everything that read(n) returns until it returns nothing."""
    tree, chunks, data = [], 0, read(BATCH)
    if len(data) <= 1024:
        return compress(data.ljust(1024, b"\0"), 1024, len(data), 0, CHUNK_END | ROOT)
    while data:
        whole = len(data) // 1024 * 1024
        for part, size in ((data[:whole], 1024), (data[whole:].ljust(1024, b"\0"), len(data) - whole)):
            if part and size:
                tree.append(compress(part, 1024, size, chunks, CHUNK_END))
                chunks += len(part) // 1024
        data = read(BATCH)
    nodes = b"".join(tree)
    while len(nodes) > 64:  # an odd node at the end of a level moves up as it is
        pairs = len(nodes) // 64 * 64
        nodes = compress(nodes[:pairs], 64, 64, 0, PARENT) + nodes[pairs:]
    return compress(nodes, 64, 64, 0, PARENT | ROOT)


def blake3(data):
    return blake3_stream(io.BytesIO(data).read)


# GF(256) with the polynomial 0x11d.
EXP, LOG = [0] * 510, [0] * 256
value = 1
for power in range(255):
    EXP[power] = EXP[power + 255] = value
    LOG[value] = power
    value = value << 1 ^ (0x11D if value & 0x80 else 0)


def product(a, b):
    return EXP[LOG[a] + LOG[b]] if a and b else 0


def decoding_rows(k, have, missing):
    """For each missing data shard, what to multiply each shard of `have` by: rows of the inverse."""
    m = [[int(r == c) if r < k else EXP[255 - LOG[r ^ c]] for c in range(k)] + [int(r == h) for h in have] for r in have]
    for c in range(k):
        swap = next(r for r in range(c, k) if m[r][c])
        m[c], m[swap] = m[swap], m[c]
        inverse = EXP[255 - LOG[m[c][c]]]
        m[c] = [product(inverse, x) for x in m[c]]
        for r in range(k):
            if r != c and m[r][c]:
                factor = m[r][c]
                m[r] = [x ^ product(factor, y) for x, y in zip(m[r], m[c])]
    return {shard: m[shard][k:] for shard in missing}


class Plan:
    """A plan. Its lines come in one fixed order."""

    def __init__(self, data):
        if len(data) > 65536 or not data.startswith(b"tesseras plan 1\n"):
            raise Wrong("this is not a plan of version 1")
        lines = data.decode("utf-8").split("\n")[:-1]
        names = ["tessera", "tier", "code", "data", "parity", "chunk", "packed", "shard", "copies"]
        fields = dict(zip(names, (self.value(lines, i + 1, name) for i, name in enumerate(names))))
        self.id, code = fields["tessera"], fields["code"]
        if code not in ("copy", "reed-solomon gf256 0x11d parity[r][c]=1/(r^c)"):
            raise Wrong("unknown code: " + code)
        self.k, self.m, self.chunk, self.packed, self.shard = (int(fields[n]) for n in names[3:8])
        n = self.k + self.m
        if not (0 < self.k and 0 <= self.m and n <= 255 and 0 < self.chunk <= 1 << 20 and 0 < self.packed):
            raise Wrong("impossible numbers in the plan")
        rest = -(-(self.packed % (self.k * self.chunk)) // self.k)
        if self.shard != self.packed // (self.k * self.chunk) * self.chunk + rest or (code == "copy" and n != 1):
            raise Wrong("the numbers of the plan do not fit each other")
        self.hashes = [self.value(lines, 10 + i, "fragment: %d" % i, " ") for i in range(n)]
        head = [self.value(lines, i, "head") for i in range(10 + n, len(lines) - 2)]
        self.head = "".join(line + "\n" for line in head).encode()
        self.head_signature = self.value(lines, len(lines) - 2, "head-signature")
        self.value(lines, len(lines) - 1, "signature")
        if blake3(self.head).hex() != self.id:
            raise Wrong("the head in the plan is not that of tessera " + self.id)

    @staticmethod
    def value(lines, i, name, separator=": "):
        if i >= len(lines) or not lines[i].startswith(name + separator):
            raise Wrong("line %d of the plan should begin with %r" % (i + 1, name))
        return lines[i][len(name + separator):]

    def of_head(self, name):
        return re.search("^%s (.*)$" % name, self.head.decode(), re.M).group(1)


def hash_of(path, size):
    """The hash of a file that has this size; nothing where it cannot be read or has another."""
    try:
        with open(path, "rb") as f:
            return blake3_stream(f.read).hex() if os.fstat(f.fileno()).st_size == size else None
    except OSError as e:
        return str(e)


def find_fragments(plan, places):
    """The file of every good fragment found, by index, until there are enough."""
    paths = []
    for place in places:
        if not os.path.exists(place):
            raise Wrong("no such file or folder: " + place)
        inside = [os.path.join(at, name) for at, dirs, names in os.walk(place) for name in sorted(names)]
        paths += [place] if os.path.isfile(place) else [path for path in inside if os.path.isfile(path)]
    indices = {}  # equal shards have equal hashes, and one file serves for all of them
    for i, digest in enumerate(plan.hashes):
        indices.setdefault(digest, []).append(i)
    claim = {path: indices.get(os.path.basename(path).split(".")[0], []) for path in paths}
    found = {}
    for path in sorted(paths, key=lambda p: claim[p] or [255]):
        if len(found) == plan.k or any(i in found for i in claim[path]):
            continue
        digest = hash_of(path, plan.shard)
        for i in indices.get(digest, [])[:plan.k - len(found)]:
            found[i] = path
        if digest not in indices and (digest or claim[path] or path in places):
            print("bad fragment: %s is damaged, or not of this tessera" % path, file=sys.stderr)
    if len(found) < plan.k:
        raise Wrong("%d good fragments found, %d are needed" % (len(found), plan.k))
    return found


def decode(plan, found, out):
    """Write the packed tar that the fragments hold."""
    have = sorted(found)
    missing = [i for i in range(plan.k) if i not in found]
    rows = decoding_rows(plan.k, have, missing)
    tables = {f: bytes(product(f, x) for x in range(256)) for f in {f for row in rows.values() for f in row}}
    files = {i: open(found[i], "rb") for i in have}
    left = plan.packed
    while left:
        stripe = min(left, plan.k * plan.chunk)
        size = -(-stripe // plan.k)
        chunks = {i: files[i].read(size) for i in have}
        for shard in missing:
            total = 0
            for i, factor in zip(have, rows[shard]):
                total ^= int.from_bytes(chunks[i].translate(tables[factor]), "little")
            chunks[shard] = total.to_bytes(size, "little")
        out.write(b"".join(chunks[i] for i in range(plan.k))[:stripe])
        left -= stripe
    for f in files.values():
        f.close()


def unpack(plan, packed, target):
    """Write the files that the packed tar holds under target, each checked against the file list."""
    tar = tarfile.open(fileobj=packed, mode="r:", encoding="utf-8", errors="surrogateescape")

    def entry(name):
        member, tar.members = tar.next(), []
        if member is None or member.name.rstrip("/") != name or not (member.isfile() or member.isdir()):
            raise Wrong("the packed tar should hold %r next" % name)
        return tar.extractfile(member)
    if entry("head.txt").read() != plan.head:
        raise Wrong("the head in the tar is not the plan's")
    if entry("signature.txt").read() != ("signature: %s\n" % plan.head_signature).encode():
        raise Wrong("the signature in the tar is not the plan's")
    listing = entry("files.txt").read()
    if "%s %d" % (blake3(listing).hex(), len(listing)) != plan.of_head("list: blake3"):
        raise Wrong("the file list is not the one that the head names")
    lines = listing.decode().split("\n")[:-1]
    if lines[0] != "tesseras files 1":
        raise Wrong("the file list is not of version 1")
    os.makedirs(target)
    for line in lines[1:]:
        kind, digest, size, mtime, media, path = line.split(" ")
        path = urllib.parse.unquote_to_bytes(path)
        if b"\0" in path or any(part in (b"", b".", b"..") for part in path.split(b"/")):
            raise Wrong("the file list has the path %r" % path)
        content = entry("files/" + path.decode("utf-8", "surrogateescape"))
        to = os.path.join(os.fsencode(target), path)
        os.makedirs(to if kind == "folder" else os.path.dirname(to), exist_ok=True)
        if kind == "file":
            with open(to, "xb") as f:
                shutil.copyfileobj(content, f)
            with open(to, "rb") as f:
                if blake3_stream(f.read).hex() != digest or f.tell() != int(size):
                    raise Wrong("the file %r is damaged" % path)
        seconds = calendar.timegm(time.strptime(mtime[:19], "%Y-%m-%dT%H:%M:%S"))
        nanoseconds = seconds * 10 ** 9 + int(mtime[20:-1].ljust(9, "0"))
        os.utime(to, ns=(nanoseconds, nanoseconds))
    if tar.next() is not None:
        raise Wrong("the packed tar holds more than the file list")
    return len(lines) - 1


def main(plan_file, outdir, *places):
    if os.path.exists(outdir):
        raise Wrong(outdir + " exists")
    with open(plan_file, "rb") as f:
        plan = Plan(f.read(65537))
    found = find_fragments(plan, places)
    work = tempfile.mkdtemp(prefix=".decoding-", dir=os.path.dirname(os.path.abspath(outdir)))
    try:
        with tempfile.TemporaryFile(dir=work) as packed:
            decode(plan, found, packed)
            packed.seek(0)
            count = unpack(plan, packed, os.path.join(work, "tessera"))
        os.rename(os.path.join(work, "tessera"), outdir)
    finally:
        shutil.rmtree(work)
    print("tessera %s: %d files and folders in %s" % (plan.id, count, outdir))


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__.strip())
    try:
        main(*sys.argv[1:])
    except (Wrong, OSError, tarfile.TarError, ValueError, LookupError, AttributeError) as e:
        sys.exit("decode.py: %s" % e)
