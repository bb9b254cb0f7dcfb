"""Numbers: large ints, floats, complex, fractions, decimals."""
import math
from decimal import Decimal
from fractions import Fraction


def factorial(n):
    r = 1
    while n > 1:
        r *= n
        n -= 1
    return r


def newton(x, eps=1e-12):
    g = x / 2
    while abs(g * g - x) > eps:
        g = (g + x / g) / 2
    return g


def gcd(a, b):
    while b:
        a, b = b, a % b
    return a


big = factorial(30)
neg = -big
print(big, neg, newton(2.0), gcd(48, 36))
z = complex(1, 2) * 3j
print(z, abs(z), Fraction(1, 3) + Fraction(1, 6), Decimal("0.1") + Decimal("0.2"))
print(7 // 2, -7 // 2, -7 % 3, 2 ** 100, 1 << 70, ~5, 6 ^ 3, round(2.675, 2), divmod(17, 5))
print(math.inf, -math.inf, math.isnan(math.nan), 1e300 * 1e10, 0.1 + 0.2, 1e16, 1e-5)
print(int("ff", 16), hex(255), (10).bit_length(), 1_000_000)
