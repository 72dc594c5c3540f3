/* A small persistent thread pool.
 *
 * No OpenMP runtime: a second copy beside torch's costs threads or deadlocks. Workers start with
 * the first call that needs them, take chunks from one atomic counter, spin for some tens of
 * microseconds after a job (the next layer usually follows) and then sleep. The caller takes part,
 * so a job never waits for a worker that has not begun; it waits only for chunks already taken.
 *
 * How a late worker is kept out of a finished job: a worker counts itself in (`inside`) before it
 * looks at `open`, and the caller clears `open` before it looks at `inside`. Both are sequentially
 * consistent, so either the worker sees the job closed or the caller waits for it.
 */
#include "core.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { MOST_THREADS = 256, SPIN_NANOSECONDS = 40000, SPINS_BETWEEN_CLOCKS = 64 };

static struct {
    atomic_int wanted;   /* threads, the caller counted; 0: not yet known */
    atomic_int started;  /* workers that exist */
    atomic_flag busy;    /* one job at a time; whoever comes second runs alone */
    /* the job; written only while closed and nobody is inside */
    ns_task *fn;
    void *context;
    int64_t count, chunk;
    int helpers;
    _Atomic int64_t next;
    atomic_int open, inside;
    /* sleeping */
    atomic_uint generation;
    atomic_int sleepers;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
} pool = {.busy = ATOMIC_FLAG_INIT,
          .mutex = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local int works_alone;

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* A child of fork has only the thread that called fork. */
static void after_fork_in_child(void) {
    atomic_store(&pool.started, 0);
    atomic_store(&pool.open, 0);
    atomic_store(&pool.inside, 0);
    atomic_store(&pool.sleepers, 0);
    atomic_flag_clear(&pool.busy);
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_cond_init(&pool.wake, NULL);
}

static void register_fork_handler(void) { pthread_atfork(NULL, NULL, after_fork_in_child); }

static void take_chunks(void) {
    int64_t count = pool.count, chunk = pool.chunk;
    for (;;) {
        int64_t first = atomic_fetch_add_explicit(&pool.next, chunk, memory_order_relaxed);
        if (first >= count) return;
        pool.fn(pool.context, first, count - first < chunk ? count : first + chunk);
    }
}

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Wait until the generation is no longer `seen`: spin first, then sleep. */
static void wait_for_job(unsigned seen) {
    int64_t end = nanoseconds() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < SPINS_BETWEEN_CLOCKS; i++) {
            if (atomic_load_explicit(&pool.generation, memory_order_acquire) != seen) return;
            relax();
        }
    } while (nanoseconds() < end);
    pthread_mutex_lock(&pool.mutex);
    atomic_fetch_add(&pool.sleepers, 1);
    while (atomic_load(&pool.generation) == seen) pthread_cond_wait(&pool.wake, &pool.mutex);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.mutex);
}

static void *work(void *argument) {
    int index = (int)(intptr_t)argument;
    unsigned seen = atomic_load(&pool.generation) - 1; /* look for a job at once */
    for (;;) {
        wait_for_job(seen);
        seen = atomic_load(&pool.generation);
        atomic_fetch_add(&pool.inside, 1);
        if (atomic_load(&pool.open) && index < pool.helpers) take_chunks();
        atomic_fetch_sub(&pool.inside, 1);
    }
    return NULL;
}

/* Bring the number of workers up to `needed`; fewer is no error, the caller does the rest. */
static void start_workers(int needed) {
    sigset_t all, before;
    sigfillset(&all); /* signals belong to Python's main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = atomic_load(&pool.started); i < needed; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, (void *)(intptr_t)i) != 0) break;
        pthread_detach(thread);
        atomic_store(&pool.started, i + 1);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void run_job(int64_t count, int64_t chunk, int helpers, ns_task *fn, void *context) {
    pool.fn = fn;
    pool.context = context;
    pool.count = count;
    pool.chunk = chunk;
    pool.helpers = helpers;
    atomic_store(&pool.next, 0);
    atomic_store(&pool.open, 1);
    atomic_fetch_add(&pool.generation, 1);
    if (atomic_load(&pool.sleepers) > 0) {
        pthread_mutex_lock(&pool.mutex);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.mutex);
    }
    take_chunks();
    atomic_store(&pool.open, 0);
    for (int spins = 0; atomic_load(&pool.inside) > 0; spins++) {
        if (spins < 2000) relax();
        else sched_yield(); /* a worker lost its core in the middle of a chunk */
    }
}

void ns_parallel(int64_t count, int64_t chunk, ns_task *fn, void *context) {
    if (count <= 0) return;
    if (chunk < 1) chunk = 1;
    int64_t chunks = (count - 1) / chunk + 1;
    int helpers = works_alone ? 0 : ns_threads() - 1;
    if (helpers > chunks - 1) helpers = (int)(chunks - 1);
    if (helpers > 0) pthread_once(&once, register_fork_handler); /* before anything is held */
    if (helpers <= 0 || atomic_flag_test_and_set(&pool.busy)) {
        fn(context, 0, count);
        return;
    }
    if (atomic_load(&pool.started) < helpers) start_workers(helpers);
    run_job(count, chunk, helpers, fn, context);
    atomic_flag_clear(&pool.busy);
}

void ns_work_alone(int alone) { works_alone = alone; }

int ns_threads(void) {
    int wanted = atomic_load(&pool.wanted);
    if (wanted == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        wanted = cores < 1 ? 1 : cores > MOST_THREADS ? MOST_THREADS : (int)cores;
        atomic_store(&pool.wanted, wanted);
    }
    return wanted;
}

void ns_set_threads(int threads) {
    atomic_store(&pool.wanted, threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads);
}
