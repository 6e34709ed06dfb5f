/* The lists and the networks behind outbound requests. */
#include "outbound/guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Networks of IPv4 that are not the internet (the registry of special purposes, RFC 6890 and its
 * followers). */
static const struct {
    uint32_t net;
    unsigned bits;
} private4[] = {
    {0x00000000, 8},  /* this network */
    {0x0a000000, 8},  /* private */
    {0x64400000, 10}, /* shared: carriers, and metadata of one cloud */
    {0x7f000000, 8},  /* loopback */
    {0xa9fe0000, 16}, /* link-local, metadata */
    {0xac100000, 12}, /* private */
    {0xc0000000, 24}, /* protocol assignments */
    {0xc0000200, 24}, /* documentation */
    {0xc0586300, 24}, /* 6to4 relays */
    {0xc0a80000, 16}, /* private */
    {0xc6120000, 15}, /* benchmarks */
    {0xc6336400, 24}, /* documentation */
    {0xcb007100, 24}, /* documentation */
    {0xe0000000, 4},  /* multicast */
    {0xf0000000, 4},  /* reserved, broadcast */
};

/* Of IPv6 the other way round: only 2000::/3 is given out, and of that not these. */
static const struct {
    uint8_t net[4];
    unsigned bits;
} private6[] = {
    {{0x20, 0x01, 0x00, 0x00}, 23}, /* protocol assignments, Teredo */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x20, 0x02, 0x00, 0x00}, 16}, /* 6to4 */
    {{0x3f, 0xff, 0x00, 0x00}, 20}, /* documentation */
};

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    return memcmp(a, b, whole) == 0 &&
           (rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest) & 0xff) == 0);
}

/* 16 bytes, IPv4 as mapped. False: of another family. */
static bool address_of(const struct sockaddr *sa, uint8_t ret[16], uint16_t *ret_port)
{
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

        memcpy(ret, mapped, sizeof mapped);
        memcpy(ret + 12, &in->sin_addr, 4);
        *ret_port = ntohs(in->sin_port);
        return true;
    }
    if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

        memcpy(ret, &in6->sin6_addr, 16);
        *ret_port = ntohs(in6->sin6_port);
        return true;
    }
    return false;
}

static bool is_private4(const uint8_t *p)
{
    uint32_t a = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];

    for (size_t i = 0; i < SV_COUNT(private4); i++)
        if ((a ^ private4[i].net) >> (32 - private4[i].bits) == 0)
            return true;
    return false;
}

bool out_address_private(const struct sockaddr *sa)
{
    uint8_t a[16];
    uint16_t port;

    if (!address_of(sa, a, &port))
        return true;
    if (memcmp(a, mapped, sizeof mapped) == 0)
        return is_private4(a + 12);
    /* 64:ff9b::/96: a translator's, to the IPv4 address at its end. */
    if (memcmp(a, "\0\x64\xff\x9b\0\0\0\0\0\0\0\0", 12) == 0)
        return is_private4(a + 12);
    if (a[0] >> 5 != 1)
        return true;
    for (size_t i = 0; i < SV_COUNT(private6); i++)
        if (same_bits(a, private6[i].net, private6[i].bits))
            return true;
    return false;
}

/* An address as text, with or without `/BITS`. */
static bool parse_address(const char *text, struct out_rule *r)
{
    char host[OUT_HOST_MAX + 1], *slash, *end;
    unsigned long bits;
    bool v4;

    if (strlen(text) >= sizeof host)
        return false;
    memcpy(host, text, strlen(text) + 1);
    slash = strchr(host, '/');
    if (slash)
        *slash++ = '\0';
    v4 = inet_pton(AF_INET, host, r->address + 12) == 1;
    if (v4)
        memcpy(r->address, mapped, sizeof mapped);
    else if (inet_pton(AF_INET6, host, r->address) != 1)
        return false;
    r->bits = 128;
    if (!slash)
        return true;
    if (*slash < '0' || *slash > '9')
        return false;
    bits = strtoul(slash, &end, 10);
    if (*end || bits > (v4 ? 32 : 128))
        return false;
    r->bits = (unsigned)bits + (v4 ? 96 : 0);
    return true;
}

static bool is_name(const char *s)
{
    if (!*s || *s == '.')
        return false;
    for (; *s; s++) {
        if (!((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '-' || *s == '_' ||
              (*s == '.' && s[1] != '.')))
            return false;
    }
    return s[-1] != '.';
}

/* Cut ":PORT" off. False: it is none. */
static bool cut_port(char *text, uint16_t *ret)
{
    char *bracket = strchr(text, ']');
    char *colon = strrchr(bracket ? bracket : text, ':'), *end;
    unsigned long port;

    if (!colon || (!bracket && strchr(text, ':') != colon))
        return true; /* none, or an IPv6 address without brackets */
    port = colon[1] >= '0' && colon[1] <= '9' ? strtoul(colon + 1, &end, 10) : 0;
    if (port == 0 || port > UINT16_MAX || *end)
        return false;
    *ret = (uint16_t)port;
    *colon = '\0';
    return true;
}

int out_rule_parse(struct sv_err *err, struct sv_str text, struct out_rule *ret)
{
    char host[OUT_HOST_MAX + 16];
    struct out_rule r = {0};
    const char *name = host;
    size_t len = text.len;

    if (len == 0 || len >= sizeof host || memchr(text.ptr, 0, len))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "a server's name of %zu bytes", len);
    for (size_t i = 0; i < len; i++) {
        char c = text.ptr[i];

        host[i] = c;
        if (c >= 'A' && c <= 'Z')
            host[i] = (char)(c + 'a' - 'A');
    }
    host[len] = '\0';
    if (!cut_port(host, &r.port))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "the port in '%s' is no number from 1 to 65535", host);
    len = strlen(host);
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        name++;
    }
    r.any = strcmp(name, "*") == 0;
    r.subdomains = strncmp(name, "*.", 2) == 0;
    if (r.subdomains)
        name += 2;
    if (!r.any && (r.subdomains || !parse_address(name, &r))) {
        if (!is_name(name) || strlen(name) > OUT_HOST_MAX)
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                           "'%s' is not HOST[:PORT], *.HOST, an address or a network", host);
        memcpy(r.host, name, strlen(name) + 1);
    }
    *ret = r;
    return 0;
}

static bool port_fits(const struct out_rule *r, uint16_t port, uint16_t scheme_port)
{
    return port == (r->port ? r->port : scheme_port);
}

bool out_rule_allows(const struct out_rule *r, const char *host, uint16_t port,
                     uint16_t scheme_port)
{
    size_t len = strlen(host), tail = strlen(r->host);
    uint8_t address[16];

    if (!port_fits(r, port, scheme_port))
        return false;
    if (r->any)
        return true;
    if (r->host[0] == '\0') {
        memcpy(address, mapped, sizeof mapped);
        return (inet_pton(AF_INET, host, address + 12) == 1 ||
                inet_pton(AF_INET6, host, address) == 1) &&
               same_bits(address, r->address, r->bits);
    }
    if (r->subdomains)
        return len > tail + 1 && host[len - tail - 1] == '.' &&
               strcmp(host + len - tail, r->host) == 0;
    return strcmp(host, r->host) == 0;
}

bool out_rule_names(const struct out_rule *r, const struct sockaddr *sa, uint16_t scheme_port)
{
    uint8_t a[16];
    uint16_t port;

    if (!address_of(sa, a, &port) || !port_fits(r, port, scheme_port) || r->any || r->subdomains)
        return false;
    if (strcmp(r->host, "localhost") == 0)
        return (memcmp(a, mapped, sizeof mapped) == 0 && a[12] == 127) ||
               memcmp(a, &in6addr_loopback, 16) == 0;
    return r->host[0] == '\0' && same_bits(a, r->address, r->bits);
}

bool out_rule_covers(const struct out_rule *outer, const struct out_rule *inner)
{
    bool local = strcmp(outer->host, "localhost") == 0;

    if ((outer->port && outer->port != inner->port) || inner->any || inner->subdomains)
        return false;
    if (inner->host[0])
        return local && strcmp(inner->host, "localhost") == 0;
    if (local)
        return (memcmp(inner->address, mapped, sizeof mapped) == 0 && inner->address[12] == 127 &&
                inner->bits >= 104) ||
               (memcmp(inner->address, &in6addr_loopback, 16) == 0 && inner->bits == 128);
    return outer->host[0] == '\0' && !outer->any && inner->bits >= outer->bits &&
           same_bits(inner->address, outer->address, outer->bits);
}
