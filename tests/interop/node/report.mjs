// One line per check on standard output: `ok NAME` or `FAIL NAME: why`; `run` counts them.
import assert from 'node:assert/strict';

export { assert };

const CHECK_TIMEOUT_MS = 60_000;
let failed = false;

/** Runs one check; what `body` returns as text is shown with the result. */
export async function check(name, body) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not finished after ${CHECK_TIMEOUT_MS} ms`)), CHECK_TIMEOUT_MS);
  });
  try {
    const detail = await Promise.race([body(), late]);
    console.log(`ok ${name}${typeof detail === 'string' ? ` (${detail})` : ''}`);
    return true;
  } catch (error) {
    failed = true;
    const where = /\w+\.mjs:\d+/.exec(error?.stack?.split('\n    at ')[1] ?? '')?.[0] ?? '';
    console.log(`FAIL ${name}: ${String(error?.message ?? error).replace(/\s+/g, ' ').slice(0, 600)} ${where}`);
    return false;
  } finally {
    clearTimeout(timer);
  }
}

/** Ends the process: a client that keeps a timer or socket after its close must not keep the stage. */
export function finish() {
  exit(failed ? 1 : 0);
}

/** Ends the process once its output is written: `process.exit` alone loses what does not fit into the pipe. */
export function exit(code) {
  process.stdout.write('', () => process.exit(code));
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
