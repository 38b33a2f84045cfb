// The part of PlaceRequest that this policy goes by.
import { BYTES, Reader, VARINT } from "./proto";

export class Piece {
  index: u32 = 0;
  size: u64 = 0;
  copies: u32 = 0;
}

export class Candidate {
  id: usize = 0; // 32 bytes
  idSize: u32 = 0;
  subnet: usize = 0;
  subnetSize: u32 = 0;
  institutional: bool = false;
  free: u64 = 0; // 0 = unknown
  load: u32 = 0; // fragments it gets
  piece: i32 = -1; // the last one it got

  constructor(public position: u32) {}

  /** Compares ids, byte by byte. */
  before(other: Candidate): i32 {
    const order = memory.compare(this.id, other.id, min(this.idSize, other.idSize));
    return order != 0 ? order : <i32>this.idSize - <i32>other.idSize;
  }

  sameSubnet(subnet: usize, size: u32): bool {
    return this.subnetSize == size && memory.compare(this.subnet, subnet, size) == 0;
  }
}

/** A peer that holds fragments already. Only its id and its subnet matter here. */
export class Holding {
  id: usize = 0;
  idSize: u32 = 0;
  subnet: usize = 0;
  subnetSize: u32 = 0;
  fragments: bool = false;
}

export class Request {
  valid: bool = false;
  guarding: bool = false;
  perSubnet: u32 = 0;
  pieces: Piece[] = [];
  holdings: Holding[] = [];
  candidates: Candidate[] = [];

  constructor(at: usize, size: u32) {
    const r = new Reader(at, at + size);
    let ok = true, tessera: u32 = 0;
    while (r.next()) {
      if (r.is(1, BYTES)) tessera = r.size;
      else if (r.is(6, BYTES)) ok = this.piece(r.message()) && ok;
      else if (r.is(7, BYTES)) ok = this.holding(r.message()) && ok;
      else if (r.is(8, BYTES)) ok = this.candidate(r.message()) && ok;
      else if (r.is(9, BYTES)) ok = this.caps(r.message()) && ok;
      else if (r.is(12, VARINT)) this.guarding = r.number != 0;
    }
    this.valid = ok && !r.failed && tessera == 32;
  }

  private piece(r: Reader): bool {
    const p = new Piece();
    while (r.next()) {
      if (r.is(1, VARINT)) p.index = <u32>r.number;
      else if (r.is(2, VARINT)) p.size = r.number;
      else if (r.is(3, VARINT)) p.copies = <u32>r.number;
    }
    this.pieces.push(p);
    return !r.failed;
  }

  private holding(r: Reader): bool {
    const h = new Holding();
    while (r.next()) {
      if (r.is(1, BYTES)) {
        h.id = r.start;
        h.idSize = r.size;
      } else if (r.is(2, BYTES)) {
        h.subnet = r.start;
        h.subnetSize = r.size;
      } else if (r.field == 5) {
        h.fragments = r.wire == VARINT || (r.wire == BYTES && r.size > 0); // packed or not
      }
    }
    this.holdings.push(h);
    return !r.failed;
  }

  private candidate(r: Reader): bool {
    const c = new Candidate(this.candidates.length);
    while (r.next()) {
      if (r.is(1, BYTES)) {
        c.id = r.start;
        c.idSize = r.size;
      } else if (r.is(2, BYTES)) {
        c.subnet = r.start;
        c.subnetSize = r.size;
      } else if (r.is(6, VARINT)) c.institutional = r.number != 0;
      else if (r.is(8, VARINT)) c.free = r.number;
    }
    this.candidates.push(c);
    return !r.failed;
  }

  private caps(r: Reader): bool {
    while (r.next()) {
      if (r.is(2, VARINT)) this.perSubnet = <u32>r.number;
    }
    return !r.failed;
  }
}
