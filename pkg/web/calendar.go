package web

func (s *Site) calendarRoutes() []route { return nil }
