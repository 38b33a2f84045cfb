// As much of protobuf as a policy needs, read where it lies and written where it goes.
// The encoding is described at https://protobuf.dev/programming-guides/encoding.

/** The wire types. Groups (3 and 4) do not occur in proto3. */
export const VARINT: u32 = 0;
export const FIXED64: u32 = 1;
export const BYTES: u32 = 2;
export const FIXED32: u32 = 5;

/** Reads the fields of a message from memory. What cannot be read sets `failed`, and ends the reading. */
export class Reader {
  failed: bool = false;
  field: u32 = 0; // number of the current field
  wire: u32 = 0; // its wire type
  number: u64 = 0; // its value, where it is a number
  start: usize = 0; // where its bytes are, where it has some
  size: u32 = 0;

  constructor(private at: usize, private end: usize) {}

  /** Goes on to the next field; false at the end, and where the message is broken. */
  next(): bool {
    if (this.failed || this.at >= this.end) return false;
    const tag = this.varint();
    this.field = <u32>(tag >> 3);
    this.wire = <u32>(tag & 7);
    if (tag >> 35 != 0 || this.field == 0) return this.fail();
    switch (this.wire) {
      case VARINT:
        this.number = this.varint();
        break;
      case BYTES: {
        const size = this.varint();
        if (this.failed || size > <u64>(this.end - this.at)) return this.fail();
        this.start = this.at;
        this.size = <u32>size;
        this.at += <usize>size;
        break;
      }
      case FIXED64:
      case FIXED32: {
        const size: usize = this.wire == FIXED64 ? 8 : 4;
        if (this.end - this.at < size) return this.fail();
        this.at += size;
        break;
      }
      default:
        return this.fail();
    }
    return !this.failed;
  }

  /** Tells whether the current field is that one; with another wire type it is broken. */
  is(field: u32, wire: u32): bool {
    if (this.field != field) return false;
    if (this.wire != wire) this.failed = true;
    return this.wire == wire;
  }

  /** The message that the current field holds. */
  message(): Reader {
    return new Reader(this.start, this.start + this.size);
  }

  private fail(): bool {
    this.failed = true;
    return false;
  }

  private varint(): u64 {
    let value: u64 = 0;
    for (let shift: u64 = 0; shift < 70; shift += 7) {
      if (this.at >= this.end) break;
      const byte = <u64>load<u8>(this.at++);
      if (shift == 63 && byte > 1) break;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
    this.failed = true;
    return 0;
  }
}

/** Writes fields into a buffer of fixed size. What does not fit is left out, and `full` tells so. */
export class Writer {
  full: bool = false;
  private at: usize;

  constructor(private start: usize, private capacity: usize) {
    this.at = start;
  }

  /** A result as the host wants it: where the bytes are, and how many. */
  result(): u64 {
    return ((<u64>this.start) << 32) | <u64>(this.at - this.start);
  }

  number(field: u32, value: u64): void {
    if (this.fits(20)) {
      this.varint((<u64>field << 3) | VARINT);
      this.varint(value);
    }
  }

  text(field: u32, value: string): void {
    const size = String.UTF8.byteLength(value);
    if (!this.fits(20 + size)) return;
    this.open(field, <u32>size);
    String.UTF8.encodeUnsafe(changetype<usize>(value), value.length, this.at);
    this.at += size;
  }

  /** Begins a message of so many bytes; its fields follow. */
  open(field: u32, size: u32): void {
    if (this.fits(20)) {
      this.varint((<u64>field << 3) | BYTES);
      this.varint(size);
    }
  }

  private fits(size: usize): bool {
    if (this.at + size > this.start + this.capacity) this.full = true;
    return !this.full;
  }

  private varint(value: u64): void {
    while (value >= 128) {
      store<u8>(this.at++, <u8>(value | 128));
      value >>= 7;
    }
    store<u8>(this.at++, <u8>value);
  }
}

/** How many bytes a number takes. */
export function varintSize(value: u64): u32 {
  let n: u32 = 1;
  while (value >= 128) {
    value >>= 7;
    n++;
  }
  return n;
}

/** How many bytes a text takes with its tag and length; its field number is below 16. */
export function textSize(value: string): u32 {
  const size = <u32>String.UTF8.byteLength(value);
  return 1 + varintSize(size) + size;
}
