/* For cron.py: lines "AFTER_MS TIMETABLE" become lines of the next run, or of why there is none. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cron.h"

int main(void)
{
    char line[512];

    while (fgets(line, sizeof line, stdin)) {
        struct sv_err err = {0};
        struct ctl_cron c;
        char *text;
        int64_t after = strtoll(line, &text, 10);

        line[strcspn(line, "\n")] = '\0';
        if (ctl_cron_parse(&err, text + 1, &c) < 0)
            printf("%s\n", err.text);
        else
            printf("%" PRId64 "\n", ctl_cron_next(&c, after));
    }
    return 0;
}
