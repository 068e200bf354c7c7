package ring

type pair struct{ other *partner }
