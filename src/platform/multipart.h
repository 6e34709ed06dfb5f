/* multipart/form-data (RFC 7578), read strictly: what two readers might understand differently is
 * refused. The whole body is in memory; nothing is copied. */
#ifndef PLATFORM_MULTIPART_H
#define PLATFORM_MULTIPART_H

#include "base/str.h"

#define PLAT_BOUNDARY_MAX 70    /* RFC 2046, 5.1.1 */
#define PLAT_PART_HEAD_MAX 4096 /* bytes of a part's fields */
#define PLAT_PART_FIELDS_MAX 16 /* fields of a part */
#define PLAT_PARTS_MAX 4096     /* parts of a body */
#define PLAT_PART_NAME_MAX 1024 /* bytes of a part's name */

struct plat_part {
    struct sv_str name;     /* of the form's field */
    struct sv_str filename; /* as sent, "" when there is none */
    struct sv_str type;     /* Content-Type, "" when there is none */
    struct sv_str body;
    bool is_file; /* it has a file name */
};

struct plat_multipart {
    struct sv_str rest; /* behind the last delimiter's line end */
    unsigned nparts;
    bool ended;
    const char *why;                       /* what is wrong with it */
    char delimiter[4 + PLAT_BOUNDARY_MAX]; /* CR LF -- boundary */
    size_t delimiter_len;
};

/* Whether a Content-Type says multipart/form-data. */
bool plat_multipart_is(struct sv_str content_type);
/* Begin with the body whose type that is; both must stay. False: `why` says what is wrong. */
bool plat_multipart_init(struct plat_multipart *, struct sv_str content_type, struct sv_str body);
/* 1: there is a part; 0: no more; -1: `why` says what is wrong. Everything up to the end must have
 * been read before any part is believed. */
int plat_multipart_next(struct plat_multipart *, struct plat_part *ret);

#endif
