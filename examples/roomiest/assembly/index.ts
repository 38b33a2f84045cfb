// A placement policy for Tesseras: what the module exports, and what it imports. See sdk/ABI.md.
import { Writer } from "./proto";
import { place } from "./place";

// @ts-ignore: decorator
@external("tesseras", "log")
declare function log(level: i32, text: usize, size: u32): void;

// @ts-ignore: decorator
@external("tesseras", "log_enabled")
declare function logEnabled(level: i32): i32;

const MOST_REQUEST: u32 = 4 << 20;
const WARN = 2;

/** The marker of ABI version 1; never called. */
export function tesseras_abi_v1(): void {}

/**
 * A place for a request. With it everything of the question before is forgotten: this runtime has no
 * other way to give memory back, and needs none.
 */
export function tesseras_alloc(size: u32): usize {
  if (size > MOST_REQUEST) {
    warn("a request of more than 4 MiB");
    return 0;
  }
  heap.reset();
  return heap.alloc(max(size, 1));
}

/** What this policy is: a placement decider without settings. */
export function tesseras_describe(): u64 {
  const out = new Writer(heap.alloc(256), 256);
  out.text(1, "roomiest");
  out.text(2, "1");
  out.number(3, 1); // it places
  out.number(7, 1); // as a decider
  return out.result();
}

export function tesseras_place(ptr: usize, len: u32): u64 {
  return place(ptr, len);
}

function warn(text: string): void {
  if (logEnabled(WARN) == 0) return;
  const size = String.UTF8.byteLength(text), at = heap.alloc(size);
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, at);
  log(WARN, at, <u32>size);
}
