//go:build !linux

package quicnet

import "net"

// bundled gives the socket as it is: other systems have no bundles of packets.
func bundled(conn net.PacketConn) net.PacketConn { return conn }
