// The decision: fragments go to the peers with the most free space, evenly.
//
// It keeps the host's rules by being stricter than they are: institutions, peers that hold fragments of
// the tessera already, and peers that do not say how much room they have get nothing.
import { textSize, varintSize, Writer } from "./proto";
import { Candidate, Request } from "./request";

const OK = 1, PASS = 2, DEFER = 3, INVALID = 4;

/** Most bytes of an answer, and most assignments that get a reason of their own. */
const CAPACITY: u32 = 1 << 20;
const WORDY: i32 = 2048;

const CHOSEN = "among the roomiest";

class Assignment {
  constructor(public fragment: u32, public candidate: Candidate) {}
}

class Note {
  constructor(public candidate: Candidate, public reason: string) {}
}

export function place(at: usize, size: u32): u64 {
  const out = new Writer(heap.alloc(CAPACITY), CAPACITY);
  const request = new Request(at, size);
  if (!request.valid) return status(out, INVALID, "this is no PlaceRequest");
  if (request.guarding) return status(out, PASS, "");
  const notes: Note[] = [];
  const peers = choose(request, notes);
  const assignments = assign(request, peers);
  if (assignments.length == 0) return status(out, DEFER, "no peer that may take a fragment says that it has room");
  return answer(out, assignments, notes);
}

function status(out: Writer, status: u64, reason: string): u64 {
  out.number(1, status);
  if (reason.length > 0) out.text(2, reason);
  return out.result();
}

/** The peers that may take something, the roomiest first; notes tell about the others. */
function choose(request: Request, notes: Note[]): Candidate[] {
  const roomy = request.candidates.slice(0).sort((a, b) => {
    if (a.free != b.free) return a.free > b.free ? -1 : 1;
    return a.before(b);
  });
  const chosen: Candidate[] = [];
  for (let i = 0; i < roomy.length; i++) {
    const c = roomy[i];
    if (c.free == 0) notes.push(new Note(c, "it does not say how much room it has"));
    else if (c.institutional) notes.push(new Note(c, "it is an institution"));
    else if (holds(request, c)) notes.push(new Note(c, "it holds fragments of this tessera already"));
    else if (subnetIsFull(request, chosen, c)) notes.push(new Note(c, "subnet cap: its network has as many peers as may be"));
    else chosen.push(c);
  }
  return chosen;
}

function holds(request: Request, c: Candidate): bool {
  for (let i = 0; i < request.holdings.length; i++) {
    const h = request.holdings[i];
    if (h.fragments && h.idSize == c.idSize && memory.compare(h.id, c.id, h.idSize) == 0) return true;
  }
  return false;
}

function subnetIsFull(request: Request, chosen: Candidate[], c: Candidate): bool {
  if (request.perSubnet == 0 || c.subnetSize == 0) return false; // no cap, or a network of its own
  let peers: u32 = 0;
  for (let i = 0; i < chosen.length; i++) {
    if (c.sameSubnet(chosen[i].subnet, chosen[i].subnetSize)) peers++;
  }
  for (let i = 0; i < request.holdings.length; i++) {
    const h = request.holdings[i];
    if (h.fragments && c.sameSubnet(h.subnet, h.subnetSize)) peers++;
  }
  return peers >= request.perSubnet;
}

/** Gives each copy to the peer that has the fewest so far; what nobody has room for is left out. */
function assign(request: Request, peers: Candidate[]): Assignment[] {
  const out: Assignment[] = [];
  for (let i = 0; i < request.pieces.length; i++) {
    const piece = request.pieces[i];
    for (let copy: u32 = 0; copy < piece.copies; copy++) {
      let best: Candidate | null = null;
      for (let j = 0; j < peers.length; j++) {
        const c = peers[j];
        if (c.piece == i || c.free < piece.size) continue;
        if (best == null || c.load < best.load) best = c;
      }
      if (best == null) break;
      best.piece = i;
      best.load++;
      best.free -= piece.size;
      out.push(new Assignment(piece.index, best));
    }
  }
  return out;
}

function answer(out: Writer, assignments: Assignment[], notes: Note[]): u64 {
  out.number(1, OK);
  out.text(2, "the roomiest first");
  const wordy = assignments.length <= WORDY;
  for (let i = 0; i < assignments.length; i++) {
    const a = assignments[i];
    let size = 2 + varintSize(a.fragment) + varintSize(a.candidate.position);
    if (wordy) size += textSize(CHOSEN);
    out.open(3, size);
    out.number(1, a.fragment);
    out.number(2, a.candidate.position);
    if (wordy) out.text(4, CHOSEN);
  }
  for (let i = 0; i < notes.length; i++) {
    const n = notes[i];
    out.open(4, 1 + varintSize(n.candidate.position) + textSize(n.reason));
    out.number(1, n.candidate.position);
    out.text(4, n.reason);
  }
  return out.full ? status(new Writer(heap.alloc(CAPACITY), CAPACITY), INVALID, "more fragments than fit into an answer") : out.result();
}
