"""Classes: slots, properties, inheritance, special methods, descriptors, metaclasses."""


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x = x
        self.y = y


class Temperature:
    def __init__(self, celsius):
        self._c = celsius

    @property
    def fahrenheit(self):
        return self._c * 9 / 5 + 32

    @fahrenheit.setter
    def fahrenheit(self, f):
        self._c = (f - 32) * 5 / 9


class Vector:
    def __init__(self, *v):
        self.v = v

    def __add__(self, o):
        return Vector(*(a + b for a, b in zip(self.v, o.v)))

    def __eq__(self, o):
        return self.v == o.v

    def __len__(self):
        return len(self.v)

    def __getitem__(self, i):
        return self.v[i]

    def __iter__(self):
        return iter(self.v)

    def __repr__(self):
        return f"Vector{self.v}"

    def __bool__(self):
        return any(self.v)

    def __call__(self, k):
        return Vector(*[k * a for a in self.v])

    def __contains__(self, a):
        return a in self.v

    def __getattr__(self, name):
        if name == "x":
            return self.v[0]
        raise AttributeError(name)


class Base:
    def who(self):
        return "base"

    def __init_subclass__(cls, **kw):
        subclasses.append(cls.__name__)
        super().__init_subclass__(**kw)


subclasses = []


class Left(Base):
    def who(self):
        return "left " + super().who()


class Right(Base):
    def who(self):
        return "right " + super().who()


class Both(Left, Right):
    def who(self):
        return "both " + super().who()


class Meta(type):
    def __new__(mcs, name, bases, ns):
        ns["added"] = name.lower()
        return super().__new__(mcs, name, bases, ns)

    def __call__(cls, *a):
        obj = super().__call__(*a)
        return obj


class Made(metaclass=Meta):
    count = 0

    def __init__(self):
        type(self).count += 1


class Positive:
    def __set_name__(self, owner, name):
        self.name = "_" + name

    def __get__(self, obj, owner):
        return getattr(obj, self.name)

    def __set__(self, obj, value):
        if value <= 0:
            raise ValueError(value)
        setattr(obj, self.name, value)


class Account:
    balance = Positive()

    def __init__(self, b):
        self.balance = b


s = Slotted(1, 2)
s.x += 5
print(s.x, s.y)
t = Temperature(100)
print(t.fahrenheit)
t.fahrenheit = 50
print(t._c)
v = Vector(1, 2) + Vector(3, 4)
print(v, len(v), v[0], list(v), v == Vector(4, 6), bool(v), v(2), 4 in v, v.x, hasattr(v, "nope"))
print(Both().who(), subclasses)
print(Made().added, Made().count)
a = Account(5)
try:
    a.balance = -1
except ValueError as e:
    print(e, a.balance)
