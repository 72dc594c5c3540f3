#include "core.h"

static const char *const sentences[NS_CODES] = {
    "no error",
    "not enough memory for scratch space",
    "a size is negative or two sizes do not fit each other",
    "unknown kind of values",
    "row offsets do not belong to this bitmap or run past the values",
    "no such instruction level on this CPU",
};

const char *ns_strerror(int code) {
    return code >= 0 && code < NS_CODES ? sentences[code] : "unknown error code";
}
