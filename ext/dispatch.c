/* One table of functions, chosen once at load (and by tests, through ns_select). */
#include "core.h"

#include <stdatomic.h>
#ifdef NS_HAVE_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

extern const ns_table ns_baseline_table;
#ifdef NS_HAVE_X86_LEVELS
extern const ns_table ns_avx2_table;
extern const ns_table ns_avx512_table;
extern const ns_table ns_avx512vbmi2_table;
#ifdef NS_HAVE_AMX
extern const ns_table ns_amx_table;
#endif
#endif

static const ns_table *const tables[] = {
    &ns_baseline_table,
#ifdef NS_HAVE_X86_LEVELS
    &ns_avx2_table,
    &ns_avx512_table,
    &ns_avx512vbmi2_table,
#ifdef NS_HAVE_AMX
    &ns_amx_table,
#endif
#endif
};

enum { LEVELS = sizeof tables / sizeof tables[0] };

static _Atomic(const ns_table *) active = &ns_baseline_table;

int ns_level_count(void) { return LEVELS; }

const char *ns_level_name(int index) { return tables[index]->name; }

const ns_table *ns_level_table(int index) { return tables[index]; }

#ifdef NS_HAVE_AMX
/* The system gives the registers of the matrix unit to those who ask, once for all threads. */
static int may_use_the_matrix_unit(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0;
}
#endif

/* The compiler's builtins read CPUID and XGETBV, so a system that does not save the wide
 * registers counts as a CPU without them. */
int ns_level_runs(int index) {
#ifdef NS_HAVE_X86_LEVELS
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
               __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi") &&
               __builtin_cpu_supports("bmi2");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    int vbmi2 = avx512 && __builtin_cpu_supports("avx512vbmi") &&
                __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bf16") &&
                __builtin_cpu_supports("avx512vnni");
    switch (index) {
    case 1: return avx2;
    case 2: return avx512;
    case 3: return vbmi2;
#ifdef NS_HAVE_AMX
    case 4: return vbmi2 && __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-int8") &&
                   __builtin_cpu_supports("amx-bf16") && may_use_the_matrix_unit();
#endif
    default: break;
    }
#endif
    return index == 0;
}

const ns_table *ns_active(void) { return atomic_load_explicit(&active, memory_order_acquire); }

const char *ns_level(void) { return ns_active()->name; }

int ns_select(const char *name) {
    for (int i = LEVELS - 1; i >= 0; i--) {
        if (ns_level_runs(i) && (name == NULL || strcmp(name, tables[i]->name) == 0)) {
            atomic_store_explicit(&active, tables[i], memory_order_release);
            return NS_OK;
        }
    }
    return NS_ERROR_LEVEL;
}
