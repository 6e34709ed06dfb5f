/* The dashboard's files, which are in the program (src/control/dashboard). They talk to /v1 like
 * anybody else. */
#include "control/api.h"

/* Nothing but what this server sends: no script of another origin, none in the page itself, no
 * frames around it. blob: pictures are answers of functions that are tried. */
#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "                \
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static const struct {
    const char *name;
    const unsigned char *bytes;
    size_t len;
} files[] = {
#define EMBED(name, ...)                                                                           \
    {name, (const unsigned char[]){__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__})},
#include "dashboard_files.def"
#undef EMBED
};

static const char *type_of(const char *name)
{
    static const struct {
        const char *end, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".svg", "image/svg+xml"},
    };
    const char *end = strrchr(name, '.');

    for (size_t i = 0; end && i < SV_COUNT(types); i++) {
        if (strcmp(types[i].end, end) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}

static int send_file(struct ctl_request *request, struct ctl_reply *reply, struct sv_str name)
{
    for (size_t i = 0; i < SV_COUNT(files); i++) {
        if (!sv_str_eq(sv_str_of(files[i].name), name))
            continue;
        reply->type = type_of(files[i].name);
        sv_buf_append(&reply->body, files[i].bytes, files[i].len);
        ctl_reply_field(reply, "Content-Security-Policy", POLICY);
        ctl_reply_field(reply, "X-Content-Type-Options", "nosniff");
        ctl_reply_field(reply, "X-Frame-Options", "DENY");
        ctl_reply_field(reply, "Referrer-Policy", "no-referrer");
        ctl_reply_field(reply, "Cross-Origin-Opener-Policy", "same-origin");
        ctl_reply_field(reply, "Cache-Control", "no-cache");
        return 0;
    }
    return ctl_reply_error(reply, request, 404, "not_found", "the dashboard has no such file");
}

int ctl_dashboard_page(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    (void)err;
    return send_file(request, reply, sv_str_of("index.html"));
}

int ctl_dashboard_file(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    (void)err;
    return send_file(request, reply, request->params[0]);
}
