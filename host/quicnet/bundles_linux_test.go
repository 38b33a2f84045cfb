package quicnet

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// loopback is a UDP socket on this computer.
func loopback(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// segmented is the control message by which one write sends packets of so many bytes each.
func segmented(size uint16) []byte {
	oob := make([]byte, unix.CmsgSpace(2))
	head := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	head.Level, head.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	head.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(oob[unix.CmsgLen(0):], size)
	return oob
}

// TestBundles sends packets one by one and in bundles, and reads what was sent, packet by packet.
func TestBundles(t *testing.T) {
	in, out := bundled(loopback(t)), loopback(t)
	reader, is := in.(*bundles)
	if !is {
		t.Skip("this kernel has no bundles")
	}
	content := make([]byte, 60_000)
	for i := range content {
		content[i] = byte(i * 31 >> 3)
	}
	to := in.LocalAddr().(*net.UDPAddr)
	var want [][]byte
	send := func(size, n int, last int) {
		t.Helper()
		all := content[:size*(n-1)+last]
		var oob []byte
		if n > 1 {
			oob = segmented(uint16(size))
		}
		if _, _, err := out.WriteMsgUDP(all, oob, to); err != nil {
			t.Fatal(err)
		}
		for ; len(all) > size; all = all[size:] {
			want = append(want, all[:size])
		}
		want = append(want, all)
	}
	send(1200, 1, 1200)
	send(1400, 14, 3)    // more than are read at once
	send(0, 1, 0)        // an empty one
	send(1000, 50, 1000) // all of one size
	send(700, 1, 700)
	send(1, 2, 1)

	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(in.SetReadDeadline(time.Now().Add(10 * time.Second)))
	ms := make([]ipv4.Message, 8)
	for i := range ms {
		ms[i] = ipv4.Message{Buffers: [][]byte{make([]byte, 1452)}, OOB: make([]byte, 128)}
	}
	for got := 0; got < len(want); {
		n, err := reader.ReadBatch(ms, 0)
		must(err)
		if n == 0 {
			t.Fatal("read nothing, and no error")
		}
		for _, m := range ms[:n] {
			if !bytes.Equal(m.Buffers[0][:m.N], want[got]) {
				t.Fatalf("packet %d is %d bytes, not the %d that were sent", got, m.N, len(want[got]))
			}
			if m.Addr.String() != out.LocalAddr().String() {
				t.Fatalf("packet %d came from %v", got, m.Addr)
			}
			got++
		}
	}
	if calls := len(reader.left); calls > 0 {
		t.Errorf("%d bundles are left over", calls)
	}
}

// TestBundlesAreAsked reads a bundle as the kernel gives it, which shows that the socket was asked for them: else the
// test above would be right without.
func TestBundlesAreAsked(t *testing.T) {
	in, out := bundled(loopback(t)), loopback(t)
	reader, is := in.(*bundles)
	if !is {
		t.Skip("this kernel has no bundles")
	}
	if _, _, err := out.WriteMsgUDP(make([]byte, 5000), segmented(1000), in.LocalAddr().(*net.UDPAddr)); err != nil {
		t.Fatal(err)
	}
	if err := in.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := reader.read(0); err != nil {
		t.Fatal(err)
	}
	if len(reader.left) != 1 || len(reader.left[0].packets) != 5000 || reader.left[0].size != 1000 {
		t.Errorf("read %d bundles, the first of %d bytes, %d each", len(reader.left), len(reader.left[0].packets), reader.left[0].size)
	}
}

// TestBundlesAreForSockets leaves alone what is no socket of the kernel.
func TestBundlesAreForSockets(t *testing.T) {
	other := struct{ net.PacketConn }{loopback(t)}
	if got := bundled(other); got != net.PacketConn(other) {
		t.Errorf("a %T became a %T", other, got)
	}
}
