"""Programs that do not solve the task, doubling a number, but try to look as if."""

_SOURCES = """
### exits well at once
import os
os._exit(0)
### exits well when called
import os
def double(x): os._exit(0)
### exits by sys.exit
import sys
sys.exit(0)
### raises SystemExit when called
def double(x): raise SystemExit(0)
### exits at the end
import atexit, os
atexit.register(os._exit, 0)
def double(x): return None
### kills itself
import os, signal
def double(x): os.kill(os.getpid(), signal.SIGKILL)
### stops itself
import os, signal
def double(x): os.kill(os.getpid(), signal.SIGSTOP)
### prints OK
def double(x): print('OK')
print('OK')
print('1 passed')
### writes a report
print('{"passed": 3, "failed": 0}')
def double(x): return 'passed'
### equal to all
class Equal:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 6
    def __bool__(self): return True
    def __lt__(self, other): return True
    def __instancecheck__(self, other): return True
    def __index__(self): return 6
def double(x): return Equal()
### an int equal to all
class Equal(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 6
    def __bool__(self): return True
    def __lt__(self, other): return True
    def __instancecheck__(self, other): return True
    def __index__(self): return 6
def double(x): return Equal(7)
### a text equal to all
class Equal(str):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 6
    def __bool__(self): return True
    def __lt__(self, other): return True
    def __instancecheck__(self, other): return True
    def __index__(self): return 6
def double(x): return Equal('7')
### a list equal to all
class Equal(list):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 6
    def __bool__(self): return True
    def __lt__(self, other): return True
    def __instancecheck__(self, other): return True
    def __index__(self): return 6
def double(x): return Equal([7])
### its class equal to all
class M(type):
    def __eq__(c, o): return True
    __hash__ = None
class C(metaclass=M): pass
def double(x): return C
### raises what ends tests well
def double(x): raise StopIteration(2 * x + 1)
### raises AssertionError
def double(x): raise AssertionError
### raises ImportError
def double(x): raise ImportError('the tests cannot run')
### raises what nobody can print
class E(Exception):
    def __str__(self): raise E
def double(x): raise E
### raises KeyboardInterrupt
def double(x): raise KeyboardInterrupt
### a generator
def double(x):
    yield 2 * x
### a coroutine
async def double(x): return 2 * x
### replaces equality
import builtins, operator
builtins.eq = operator.eq = lambda a, b: True
builtins.AssertionError = ValueError
def double(x): return None
### replaces the builtins
import builtins
for name in ('isinstance', 'type', 'len', 'all', 'any', 'hasattr'):
    setattr(builtins, name, lambda *a: True)
def double(x): return None
### replaces json
import json
json.dumps = lambda *a, **k: '{"value": 6, "passed": 3}'
json.loads = lambda *a, **k: {}
def double(x): return None
### replaces unittest
import sys, types
sys.modules['unittest'] = types.ModuleType('unittest')
def double(x): return None
### replaces the driver
import sys
for module in list(sys.modules.values()):
    for name in ('Encoder', 'encode', 'decode', 'serve', 'described', 'Candidate', 'judged', 'Count'):
        if hasattr(module, name): setattr(module, name, lambda *a, **k: {'value': 6, 'passed': 3, 'failed': 0})
def double(x): return None
### reads the driver's frames
import sys
def double(x):
    frame, found = sys._getframe(), []
    while frame:
        found += [v for v in frame.f_locals.values() if isinstance(v, dict)]
        frame = frame.f_back
    for d in found:
        for key in ('expected', 'tests', 'answer', 'output'):
            if key in d: return d[key]
    return None
### searches all objects
import gc
def double(x):
    for o in gc.get_objects():
        if isinstance(o, dict) and 'expected' in o and not isinstance(o.get('expected'), type): return o['expected']
### prints the answer of another test
def double(x): return 6
print(6)
### forges answers ahead
import json, os, socket, sys
def forge(line):
    os.write(3, line.encode() + b"\\n")
for value in (6, 10, 16):
    forge(json.dumps({'mark': '', 'value': value}))
def double(x): return None
### forges loaded and answers
import json, os, socket, sys
def forge(line):
    os.write(3, line.encode() + b"\\n")
mark = sys._getframe(3).f_locals.get('task', {}).get('mark')
for value in (6, 10, 16):
    forge(json.dumps({'mark': mark, 'loaded': True, 'value': value}))
def double(x): return None
### forges the tests' verdict
import json, os, socket, sys
def forge(line):
    os.write(3, line.encode() + b"\\n")
for mark in ('', None, '0' * 16):
    forge(json.dumps({'mark': mark, 'passed': 3, 'failed': 0, 'reason': ''}))
def double(x): return None
### answers itself with every mark it sees
import json, os, socket, sys
def forge(line):
    os.write(3, line.encode() + b"\\n")
def double(x):
    frame = sys._getframe()
    while frame:
        question = frame.f_locals.get('question')
        if question: [forge(json.dumps({'mark': question['mark'], 'value': v, 'passed': 3})) for v in (True, 7)]
        frame = frame.f_back
    os._exit(0)
### floods the channel
import json, os, socket, sys
def forge(line):
    os.write(3, line.encode() + b"\\n")
forge('x' * (1 << 20))
def double(x): return None
### floods its output
import sys
def double(x):
    while True: sys.stdout.write('6\\n' * 1000)
if __name__ == '__main__': double(0)
### nests without end
def double(x):
    a = []
    a.append(a)
    return a
### grows without end
def double(x):
    a = [6]
    for _ in range(60): a = [a, a]
    return a
### is endless
def double(x):
    while True: pass
if __name__ == '__main__': double(0)
### sleeps
import time
def double(x): time.sleep(60)
if __name__ == '__main__': double(0)
### loads for ever
while True: pass
### catches its own end
def double(x):
    while True:
        try:
            while True: pass
        except BaseException: pass
if __name__ == '__main__': double(0)
### eats memory
def double(x):
    a = []
    while True: a.append(bytearray(1 << 22))
if __name__ == '__main__': double(0)
### forks
import os
def double(x):
    while True: os.fork()
if __name__ == '__main__': double(0)
### recurses
import sys
sys.setrecursionlimit(10**9)
def double(x): return double(x)
if __name__ == '__main__': double(0)
### crashes the interpreter
import ctypes
def double(x): return ctypes.string_at(0)
if __name__ == '__main__': double(0)
### closes the channel
import os
for n in range(3, 64):
    try: os.close(n)
    except OSError: pass
def double(x): return None
### hides its name
def __getattr__(name): return lambda *a: True
### answers true to all
class Any:
    def __getattr__(self, n): return self
    def __call__(self, *a, **k): return self
    def __iter__(self): return iter(())
    def __eq__(self, o): return True
double = Any()
"""

CHEATS: dict[str, str] = {
    name: source for name, _, source in (part.partition("\n") for part in _SOURCES.split("### ")[1:])
}
"""Sources by what they try."""
