/* The pool: every index once, from several callers at once, inside itself, after a fork. */
#include "check.h"
#include "core.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = 1000 };

static void visit(void *context, int64_t first, int64_t last) {
    atomic_int *seen = context;
    for (int64_t i = first; i < last; i++) atomic_fetch_add(&seen[i], 1);
}

static void each_index_once(int64_t count, int64_t chunk) {
    atomic_int seen[COUNT];
    for (int i = 0; i < COUNT; i++) atomic_init(&seen[i], 0);
    ns_parallel(count, chunk, visit, seen);
    for (int64_t i = 0; i < COUNT; i++) CHECK(atomic_load(&seen[i]) == (i < count));
}

static void many_sizes(void) {
    for (int round = 0; round < 300; round++) {
        each_index_once((int64_t)(random_bits() % (COUNT + 1)), (int64_t)(random_bits() % 40));
        if (round % 50 == 0) usleep(2000); /* let the workers fall asleep */
    }
}

static void *caller(void *unused) {
    (void)unused;
    for (int round = 0; round < 300; round++) each_index_once(COUNT, 7);
    return NULL;
}

static void several_callers(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, caller, NULL) == 0);
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

static void only_mine(void *context, int64_t first, int64_t last) {
    (void)first;
    (void)last;
    CHECK(pthread_equal(*(pthread_t *)context, pthread_self()));
}

static void alone(void) {
    pthread_t me = pthread_self();
    ns_work_alone(1);
    for (int round = 0; round < 100; round++) ns_parallel(COUNT, 1, only_mine, &me);
    each_index_once(COUNT, 7);
    ns_work_alone(0);
    each_index_once(COUNT, 7);
}

static void nested(void *context, int64_t first, int64_t last) {
    (void)context;
    for (int64_t i = first; i < last; i++) each_index_once(100, 9);
}

static void after_fork(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(60); /* a child that waits for threads it does not have must not wait for ever */
        for (int round = 0; round < 50; round++) each_index_once(COUNT, 7);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
    static const int counts[] = {1, 2, 3, 8, 2, 1, 5};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        ns_set_threads(counts[i]);
        CHECK(ns_threads() == counts[i]);
        many_sizes();
    }
    several_callers();
    alone();
    ns_parallel(20, 1, nested, NULL);
    after_fork();
    after_fork();
    each_index_once(COUNT, 7);
    puts("pool: ok");
    return 0;
}
