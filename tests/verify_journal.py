#!/usr/bin/env python3
"""Checks a journal from docs/journal.md alone, sharing no code with the gate: verify_journal.py DIRECTORY

Checks of every shard: heads, checksums, numbering, times, chain, that outcomes belong to intents, torn tails. Records
that only the ring holds are checked too. Prints one line a shard and ends with 1 at the first bad place.
"""
import hashlib
import pathlib
import struct
import sys

TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def need(good, place, what):
    if not good:
        sys.exit(f"BAD {place}: {what}")


class Shard:
    def __init__(self, log, number):
        self.log, self.number = log, number
        self.seq, self.hlc, self.segment, self.torn, self.open = 1, 0, 0, None, set()
        self.chain = hashlib.sha256(b"tollgate journal v1" + log + struct.pack("<H", number)).digest()

    def frame(self, data, at, offset, place):
        """Checks the frame at data[at:]; its size, or 0 if there is none."""
        frame = self.bytes_of_frame(data, at, offset)
        if not frame:
            return 0
        length, _, seq, hlc, kind, schema, flags = struct.unpack_from("<IIQQHHI", frame)
        size = (length + 15) // 16 * 16
        need(not any(data[at + length:at + size]), place, "padding is not zero")
        need(seq == self.seq, place, f"entry {seq} instead of {self.seq}")
        need(hlc > self.hlc, place, "time goes back")
        need((flags & 1 == 1) == (seq == self.segment), place, "wrong place in its segment")
        leaf = hashlib.sha256(b"\0" + frame[8:-32]).digest()
        need(hashlib.sha256(b"\2" + self.chain + leaf).digest() == frame[-32:], place, "chain broken")
        self.entry(kind, schema, seq, frame[32:-32], place)
        self.seq, self.hlc, self.chain = seq + 1, hlc, frame[-32:]
        return size

    def bytes_of_frame(self, data, at, offset):
        """The frame at data[at:], if length and checksum are right for that offset of the segment."""
        if len(data) - at < 64:
            return None
        length, crc = struct.unpack_from("<II", data, at)
        if not 64 <= length <= 8192 or at + length > len(data):
            return None
        frame = data[at:at + length]
        seed = self.log + struct.pack("<HQQ", self.number, self.segment, offset)
        return frame if crc32c(seed + frame[:4] + frame[8:]) == crc else None

    def entry(self, kind, schema, seq, body, place):
        if self.torn:
            need(kind == 5 and body[16:64] == self.torn, place, "a torn tail that no record names")
            self.torn = None
        if kind == 1:
            self.open.clear()
        if kind == 2:
            self.open.add(seq)
        if kind == 3:
            root = {1: 128, 2: 144}[schema]
            intent = struct.unpack_from("<Q", body, len(body) - root)[0]
            need(intent in self.open, place, f"outcome without intent {intent}")
            self.open.remove(intent)

    def read_segment(self, path, last):
        data = path.read_bytes()
        need(crc32c(data[12:128]) == struct.unpack_from("<I", data, 8)[0], path, "head checksum")
        first, = struct.unpack_from("<Q", data, 40)
        need(first == self.seq == int(path.stem), path, "entries are missing before this segment")
        need(data[16:34] == self.log + struct.pack("<H", self.number), path, "another log's or shard's")
        need(data[64:96] == self.chain, path, "chain broken")
        self.segment, at = first, 128
        while size := self.frame(data, at, at, f"{path} byte {at}"):
            at += size
        if any(data[at:]):
            later = (later for later in range(at, len(data), 16) if self.bytes_of_frame(data, later, later))
            need(next(later, None) is None, f"{path} byte {at}", "bad record before an intact one")
            self.torn = struct.pack("<QQ", first, at) + hashlib.sha256(data[at:]).digest()
            need(not last or at > 128, path, "no record at all")
        return at

    def read_ring(self, path, offset):
        data = path.read_bytes() if path.exists() else b""
        if len(data) <= 4096 or data[8:26] != self.log + struct.pack("<H", self.number):
            return
        (head,), (tail,) = (struct.unpack_from("<Q", data, at) for at in (128, 192))
        records = data[4096:]
        start = tail % len(records)
        records = (records[start:] + records[:start])[:head - tail]
        at = 0
        while at < len(records):
            length, _, seq = struct.unpack_from("<IIQ", records, at)
            if seq < self.seq:
                at += (length + 15) // 16 * 16
                continue
            self.torn = None
            if records[at + 28] & 1 and self.segment != self.seq:
                self.segment, offset = self.seq, 128
            size = self.frame(records, at, offset, f"{path} record at {at}")
            need(size, path, f"bad record where entry {self.seq} must be")
            at, offset = at + size, offset + size


def main():
    journal = pathlib.Path(sys.argv[1])
    log = bytes.fromhex((journal / "log-id").read_text().strip())
    rings = pathlib.Path((journal / "ring-directory").read_text())
    for directory in sorted(journal.glob("s[0-9]*")):
        shard = Shard(log, int(directory.name[1:]))
        segments = sorted(directory.glob("*.seg"))
        offset = 128
        for path in segments:
            offset = shard.read_segment(path, path == segments[-1])
        shard.read_ring(rings / f"ring-{directory.name}", offset)
        print(f"ok {directory.name}: {shard.seq - 1} entries, {len(shard.open)} calls without outcome")


main()
