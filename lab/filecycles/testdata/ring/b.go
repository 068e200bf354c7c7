package ring

type b struct{ field int }

func (x b) method() int { return c(x) }
