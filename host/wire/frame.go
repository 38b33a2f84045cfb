package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"
)

// What is wrong with a frame. RefusalFor gives the code that tells the peer so.
var (
	ErrMalformed   = errors.New("malformed message")
	ErrTooLarge    = errors.New("message above the ceiling of its kind")
	ErrUnknownKind = errors.New("unknown kind of message")
)

// HeaderSize is the length of a frame's header: kind (1 byte) and body length (4, big-endian).
const HeaderSize = 5

// firstRead is how much is allocated on the word of a header alone; the rest follows what arrives.
const firstRead = 16 << 10

// WriteFrame sends one message in one Write.
func WriteFrame(w io.Writer, m Message) error {
	frame, err := AppendFrame(nil, m)
	if err != nil {
		return err
	}
	_, err = w.Write(frame)
	return err
}

// AppendFrame appends the frame of a message to b. A message that the receiver would have to refuse
// is an error here.
func AppendFrame(b []byte, m Message) ([]byte, error) {
	k := KindOf(m)
	if k == 0 {
		return nil, fmt.Errorf("encode %T: %w", m, ErrUnknownKind)
	}
	start := len(b)
	b = append(b, byte(k), 0, 0, 0, 0)
	b, err := proto.MarshalOptions{}.MarshalAppend(b, m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", k, err)
	}
	body := b[start+HeaderSize:]
	if err := check(k, body); err != nil {
		return nil, fmt.Errorf("encode %s: %w", k, err)
	}
	binary.BigEndian.PutUint32(b[start+1:], uint32(len(body)))
	return b, nil
}

// ReadFrame reads one message. Nothing is allocated before the ceiling was checked, and then, with
// the message itself, no more than four times what arrives and 64 KiB. The end of r before a frame is io.EOF, within one
// io.ErrUnexpectedEOF. An Error that the peer sent is a message like any other.
func ReadFrame(r io.Reader) (Message, error) {
	return ReadFrameIf(r, func(Kind) error { return nil })
}

// ReadFrameIf is ReadFrame for who does not want a message of every kind: of one that may has an error for,
// nothing more is read than the header.
func ReadFrameIf(r io.Reader, may func(Kind) error) (Message, error) {
	var header [HeaderSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	k, size := Kind(header[0]), binary.BigEndian.Uint32(header[1:])
	if !k.Known() {
		return nil, fmt.Errorf("%w: %d", ErrUnknownKind, uint8(k))
	}
	if err := may(k); err != nil {
		return nil, err
	}
	if size > uint32(k.Ceiling()) {
		return nil, fmt.Errorf("%s of %d bytes: %w", k, size, ErrTooLarge)
	}
	body, err := readBody(r, int(size))
	if err != nil {
		return nil, err
	}
	return Decode(k, body)
}

// Encode gives the body of a message's frame, as Decode reads it.
func Encode(m Message) ([]byte, error) {
	frame, err := AppendFrame(nil, m)
	if err != nil {
		return nil, err
	}
	return frame[HeaderSize:], nil
}

// Decode reads the body of a frame. The message keeps nothing of body.
func Decode(k Kind, body []byte) (Message, error) {
	if !k.Known() {
		return nil, fmt.Errorf("%w: %d", ErrUnknownKind, uint8(k))
	}
	if err := check(k, body); err != nil {
		return nil, fmt.Errorf("decode %s: %w", k, err)
	}
	m := kinds[k].make()
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, m); err != nil {
		return nil, fmt.Errorf("decode %s: %w: %w", k, ErrMalformed, err)
	}
	return m, nil
}

func check(k Kind, body []byte) error {
	if len(body) > k.Ceiling() {
		return fmt.Errorf("%d bytes: %w", len(body), ErrTooLarge)
	}
	if err := kinds[k].shape.check(body); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// readBody reads size bytes, taking memory in pieces that double as they arrive.
func readBody(r io.Reader, size int) ([]byte, error) {
	var pieces [][]byte
	for got := 0; ; {
		piece := make([]byte, min(size-got, max(got, firstRead)))
		if _, err := io.ReadFull(r, piece); err != nil {
			return nil, noEOF(err)
		}
		pieces = append(pieces, piece)
		if got += len(piece); got == size {
			return join(pieces, size), nil
		}
	}
}

func join(pieces [][]byte, size int) []byte {
	if len(pieces) == 1 {
		return pieces[0]
	}
	body := make([]byte, 0, size)
	for _, p := range pieces {
		body = append(body, p...)
	}
	return body
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
