package repair

// SetPage lets a service look at so many tesseras at a time.
func (s *Service) SetPage(n int) { s.page = n }
