// graphile-worker at what its own page on performance recommends: jobs fetched many at a time, and
// ended many at a time.
module.exports = {
  worker: {
    connectionString: process.env.POSTGRES_DSN,
    taskDirectory: `${__dirname}/tasks`,
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};
