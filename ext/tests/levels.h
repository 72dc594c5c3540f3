/* One check at every level that this processor has, by one thread and by three. */
#ifndef LEVELS_H
#define LEVELS_H

#include "check.h"

#include "../core.h"

static inline void at_every_level(void (*check)(void)) {
    for (int level = 0; level < ns_level_count(); level++) {
        if (!ns_level_runs(level)) continue;
        CHECK(ns_select(ns_level_name(level)) == NS_OK);
        for (int threads = 1; threads <= 3; threads += 2) {
            ns_set_threads(threads);
            check();
        }
        printf("%s: ok\n", ns_level());
    }
}

#endif
