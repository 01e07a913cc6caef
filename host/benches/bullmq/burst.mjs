// The burst of `speed/fleet/rivals.rs` for BullMQ 6: N job schedulers, each with one job that is due.
//
// Prints the seconds from the worker's start to the end of the last job, and those of processor time.
// A job does nothing but count.

import { Queue, Worker } from "bullmq";

const [port, db, jobs, concurrency] = process.argv.slice(2).map(Number);
const connection = { host: "127.0.0.1", port, db, maxRetriesPerRequest: null };
const AT_ONCE = 200;
const HOUR = 3_600_000;

const queue = new Queue("burst", { connection });
const options = { removeOnComplete: true };
for (let first = 0; first < jobs; first += AT_ONCE) {
  const some = Array.from({ length: Math.min(AT_ONCE, jobs - first) }, (_, offset) =>
    queue.upsertJobScheduler(`job-${first + offset}`, { every: HOUR, limit: 1 }, { name: "noop", opts: options }),
  );
  await Promise.all(some);
}
const counts = await queue.getJobCounts("wait", "delayed", "prioritized", "active");
const there = Object.values(counts).reduce((sum, count) => sum + count, 0);
if (there < jobs) throw new Error(`${there} jobs of ${jobs} wait: ${JSON.stringify(counts)}`);

let done = 0;
let finished;
const all = new Promise((resolve) => (finished = resolve));
const worker = new Worker(
  "burst",
  async () => {
    done += 1;
    if (done === jobs) finished();
  },
  { connection, concurrency, autorun: false },
);
await worker.waitUntilReady();
const [start, processor] = [performance.now(), process.cpuUsage()];
const running = worker.run();
await all;
const took = (performance.now() - start) / 1_000;
const used = process.cpuUsage(processor);
console.log(took, (used.user + used.system) / 1e6);
await worker.close();
await running;
await queue.close();
