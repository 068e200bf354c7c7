package ring

type partner struct{ other *pair }

var _ = pair{}.other
var _ = partner{}.other
