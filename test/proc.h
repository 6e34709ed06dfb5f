/* What /proc tells of this process, for tests that look for what is left behind. Holds nothing
 * else. */
#ifndef SV_TEST_PROC_H
#define SV_TEST_PROC_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* `folder`'s, with "." and ".." and, of open descriptors, the one that this reads with. */
static inline unsigned count_entries(const char *folder)
{
    DIR *d = opendir(folder);
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static inline unsigned open_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

#endif
