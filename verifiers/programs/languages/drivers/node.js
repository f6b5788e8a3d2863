// Before a candidate's source: keeps what it needs itself, and lets nothing else that is printed mix with its replies.
const fs = require("fs");
const assert = require("assert");
const write = fs.writeSync.bind(fs);
const once = process.once.bind(process);
const exit = process.reallyExit.bind(process);
const { parse, stringify } = JSON;

function encode(value, depth = 0) {
  if (depth > 100) throw new RangeError("a value nests too deep");
  const inner = (item) => encode(item, depth + 1);
  if (value === undefined || value === null) return "null";
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") return Number.isFinite(value) ? stringify(value) : special(value);
  if (typeof value === "string" || typeof value === "boolean") return stringify(value);
  if (typeof value !== "object") return stringify({ $object: [typeof value, String(value).slice(0, 200)] });
  if (value instanceof Number || value instanceof String || value instanceof Boolean) return inner(value.valueOf());
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return `[${Array.from(value, inner).join()}]`;
  if (value instanceof Set) return `{"$set":[${Array.from(value, inner).join()}]}`;
  if (value instanceof Map) return `{"$dict":[${Array.from(value, ([k, v]) => `[${inner(k)},${inner(v)}]`).join()}]}`;
  return `{${Object.entries(value).map(([k, v]) => `${stringify(k)}:${inner(v)}`).join()}}`;
}

function special(number) {
  return `{"$float":"${Number.isNaN(number) ? "nan" : number > 0 ? "inf" : "-inf"}"}`;
}

function decode(_, value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  if ("$tuple" in value) return value.$tuple;
  if ("$set" in value) return new Set(value.$set);
  if ("$dict" in value) return new Map(value.$dict);
  if ("$int" in value) return BigInt(value.$int.replace("-", "")) * (value.$int.startsWith("-") ? -1n : 1n);
  if ("$float" in value) return { nan: NaN, inf: Infinity, "-inf": -Infinity }[value.$float];
  return value;
}

// A method of a class: its own, or of an object that is made for each call.
function method(owner, name) {
  return (...given) => (typeof owner[name] === "function" ? owner : new owner())[name](...given);
}

// Says what went wrong, without the lines of this file that node would show.
function fail(error) {
  fs.writeSync(2, `${(error && error.stack) || error}\n`.slice(0, 1000));
  exit(1);
}

// Answers calls until the input ends. `find` gives the candidate's function.
async function answerCalls(find) {
  const called = find();
  if (typeof called !== "function") fail("the program has no such function");
  process.stdout.write = (...rest) => process.stderr.write(...rest);
  for await (const line of require("readline").createInterface({ input: process.stdin })) {
    const { mark, arguments: given } = parse(line, decode);
    let answer;
    try {
      answer = `"value":${encode(await called(...given))}`;
    } catch (error) {
      answer = `"raised":${stringify(`${error}`.slice(0, 500))}`;
    }
    write(1, ` \n{"mark":${stringify(mark)},${answer}}\n`);
  }
  exit(0);
}

// Runs the tests, waits for all they have started, and then prints the mark.
async function runTests(tests, mark) {
  let finished = false;
  once("beforeExit", (code) => {
    if (finished && code === 0) write(1, `\n${mark}\n`);
  });
  try {
    await tests(require, testConsole);
    finished = true;
  } catch (error) {
    fail(error);
  }
}

Error.stackTraceLimit = 2;
for (const part of [assert, assert.strict]) Object.freeze(part);
const testConsole = Object.create(console, { assert: { value: (...given) => assert.ok(...given) } });
fs.rmSync(__filename, { force: true });
return Object.freeze({ answerCalls, method, runTests });
