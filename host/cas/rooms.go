package cas

// chunk is how many bytes are read, hashed and written at once.
const chunk = 512 << 10

// maxRooms is how many buffers are kept for the next one who needs one.
const maxRooms = 16

// room gives a buffer of cfg.room bytes; it belongs to the caller until it is handed back to leave.
func (s *Store) room() []byte {
	select {
	case b := <-s.rooms:
		return b
	default:
		return make([]byte, s.cfg.room)
	}
}

func (s *Store) leave(b []byte) {
	select {
	case s.rooms <- b:
	default:
	}
}
