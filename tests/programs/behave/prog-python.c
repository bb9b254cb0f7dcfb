// SPDX-License-Identifier: MIT
/* python: threads, hashes, subprocesses, json, random numbers. */
#include "behave.h"

int main(void)
{
	execlp("python3", "python3", "-c",
	       "import threading, random, json, subprocess, time, os, hashlib\n"
	       "r = []\n"
	       "def f(n):\n"
	       "    for i in range(300): r.append(random.random() * n)\n"
	       "t = [threading.Thread(target=f, args=(n,)) for n in range(3)]\n"
	       "[x.start() for x in t]; [x.join() for x in t]\n"
	       "print(hashlib.sha256(json.dumps(r).encode()).hexdigest(), set('abcdefgh'), id(r), time.time())\n"
	       "print(subprocess.run(['echo', 'sub'], capture_output=True).stdout, os.urandom(4))\n",
	       NULL);
	return 1;
}
