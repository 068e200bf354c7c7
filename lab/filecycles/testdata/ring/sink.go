package ring

func sink(n int) int { return n }
