/* What names in HTTP are made of: the character class "tchar" of RFC 9110, 5.6.2. */
#ifndef SV_BASE_TCHAR_H
#define SV_BASE_TCHAR_H

#include <stdbool.h>
#include <string.h>

static inline bool sv_is_tchar(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

#endif
