package ring

func c(x b) int {
	if x.field > 0 {
		return a(x)
	}
	return sink(3)
}
