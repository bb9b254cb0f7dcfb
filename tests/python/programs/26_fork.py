# since 3.9
"""A child process by fork, and one by subprocess."""
import os
import subprocess
import sys


def child(n):
    total = 0
    for i in range(n):
        total += i
    return total


class Child:
    pass


r, w = os.pipe()
c = Child()
c.pid = os.fork()  # another number every time
if c.pid == 0:
    os.close(r)
    os.write(w, str(child(5)).encode())
    os._exit(3)
os.close(w)
print(os.read(r, 100))
status = os.waitpid(c.pid, 0)[1]
print(os.waitstatus_to_exitcode(status))
print(subprocess.run(["/bin/echo", "hi"], capture_output=True).stdout)
