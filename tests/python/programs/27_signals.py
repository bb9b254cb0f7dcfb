"""Signal handlers written in Python, at known places."""
import signal
import os

seen = []


def handler(signum, frame):
    seen.append(signum)


def interrupted():
    try:
        os.kill(os.getpid(), signal.SIGUSR2)
        for i in range(3):
            pass
    except RuntimeError as e:
        return str(e)


def fails(signum, frame):
    raise RuntimeError("from the handler")


signal.signal(signal.SIGUSR1, handler)
os.kill(os.getpid(), signal.SIGUSR1)
print(seen == [signal.SIGUSR1])
signal.signal(signal.SIGUSR2, fails)
print(interrupted())
