package jose

import (
	"crypto/ed25519"
	"errors"
	"math/big"
	"slices"
)

// This file refuses public keys for which others than the holder of a private key can sign.
// crypto/ed25519 and crypto/rsa accept such signatures.

var (
	errNoPoint    = errors.New("not the encoding of a point of Ed25519 (RFC 8032 §5.1.3)")
	errSmallOrder = errors.New("an Ed25519 key of small order, for which others can sign")
	errModulus    = errors.New("an RSA modulus that others can factor")
)

// The curve is y² - x² = 1 + d·x²·y² modulo 2²⁵⁵ - 19, with d = -121665/121666 (RFC 8032 §5.1).
var (
	one   = big.NewInt(1)
	two   = big.NewInt(2)
	field = new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	curve = mod(new(big.Int).Mul(big.NewInt(-121665), inverse(big.NewInt(121666))))
)

func mod(n *big.Int) *big.Int { return n.Mod(n, field) }

func inverse(n *big.Int) *big.Int { return new(big.Int).ModInverse(n, field) }

// checkPoint refuses encodings that RFC 8032 §5.1.3 does not decode, and the eight points of small
// order in all their encodings. All multiples of such a point are among the eight, so a signature
// made without a private key verifies for one message in eight, or for every message.
func checkPoint(key ed25519.PublicKey) error {
	// y is in little-endian order. The highest bit is the sign of x, which no check needs.
	bytes := slices.Clone(key)
	slices.Reverse(bytes)
	bytes[0] &= 0x7f
	y := new(big.Int).SetBytes(bytes)
	if y.Cmp(field) >= 0 {
		return errNoPoint
	}
	// x² = (y² - 1) / (d·y² + 1). The divisor is never zero, as -1/d is no square.
	yy := mod(new(big.Int).Mul(y, y))
	xx := new(big.Int).Mul(curve, yy)
	xx = inverse(xx.Add(xx, one))
	xx = mod(xx.Mul(xx, new(big.Int).Sub(yy, one)))
	if big.Jacobi(xx, field) < 0 {
		return errNoPoint
	}
	// Points of order 1 and 2 have x = 0, those of order 4 have y = 0. Twice a point of order 8 has
	// order 4, and the numerator of its y is x² + y².
	if xx.Sign() == 0 || yy.Sign() == 0 || mod(new(big.Int).Add(xx, yy)).Sign() == 0 {
		return errSmallOrder
	}
	return nil
}

// factors is divisible by each prime below 752, the bound of NIST SP 800-89 §5.3.3.
var factors = new(big.Int).MulRange(2, 751)

// checkModulus refuses a modulus that has a small prime factor, is prime or is the power of a
// prime, as NIST SP 800-89 §5.3.3 requires. If n is a power of a prime p, p divides 2ⁿ - 2
// (Fermat); if n is the product of two random primes, neither of them does. checkModulus also
// refuses the moduli of a library with predictable primes (CVE-2017-15361).
func checkModulus(n *big.Int) error {
	if new(big.Int).GCD(nil, nil, n, factors).Cmp(one) != 0 {
		return errModulus
	}
	power := new(big.Int).Exp(two, n, n)
	power.Mod(power.Sub(power, two), n)
	if new(big.Int).GCD(nil, nil, n, power).Cmp(one) != 0 || isROCA(n) {
		return errModulus
	}
	return nil
}

// isROCA reports whether n is a power of 65537 modulo each prime up to 701. The library of
// CVE-2017-15361 makes only such moduli. Another modulus is like that with negligible probability.
func isROCA(n *big.Int) bool {
	for p := int64(3); p <= 701; p += 2 {
		prime := big.NewInt(p)
		if !prime.ProbablyPrime(0) {
			continue
		}
		want := new(big.Int).Mod(n, prime).Int64()
		for power := int64(1); power != want; {
			if power = power * 65537 % p; power == 1 {
				return false
			}
		}
	}
	return true
}
