// Submits so many jobs in batches; prints the seconds until none is left: ended ones are deleted.
const { makeWorkerUtils } = require("graphile-worker");

const BATCH = 1000;

async function main(jobs) {
  const utils = await makeWorkerUtils({ connectionString: process.env.POSTGRES_DSN });
  const count = "SELECT count(*)::int AS n FROM graphile_worker._private_jobs";
  const began = performance.now();
  for (let first = 0; first < jobs; first += BATCH) {
    const length = Math.min(jobs - first, BATCH);
    const batch = Array.from({ length }, (_, at) => ({
      identifier: "noop",
      payload: { number: first + at },
    }));
    await utils.addJobs(batch);
  }
  while (await utils.withPgClient(async (client) => (await client.query(count)).rows[0].n)) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  console.log((performance.now() - began) / 1000);
  await utils.release();
}

main(Number(process.argv[2]));
