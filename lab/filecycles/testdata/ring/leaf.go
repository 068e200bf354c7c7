package ring

var _ = a(b{})
