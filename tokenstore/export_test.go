package tokenstore

// Encode and Decode write and read the data of a record.
var Encode, Decode = encode, decode
