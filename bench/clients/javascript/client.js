// The JavaScript client. BENCH_TUNED=1: batches and no pause between two polls; else its defaults.
import { Client } from "camunda-external-task-client-js";

const { BENCH_ENGINE, BENCH_TOPIC, BENCH_BATCH, BENCH_TUNED } = process.env;

const batch = Number(BENCH_BATCH ?? 50);
// Without a bound on what runs at once it would lock the whole backlog.
const tuned = { maxTasks: batch, maxParallelExecutions: 2 * batch, interval: 0, asyncResponseTimeout: 10000 };
const client = new Client({ baseUrl: BENCH_ENGINE, ...(BENCH_TUNED === "1" ? tuned : {}) });

client.subscribe(BENCH_TOPIC, async ({ task, taskService }) => {
  await taskService.complete(task);
});
