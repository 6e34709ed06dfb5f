/* `ssvm new`: a project from the templates beside this installation (sdk/templates). */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/client.h"

#define FILE_MAX ((size_t)16 << 20)
#define DEPTH_MAX 16

static const struct {
    const char *name, *called;
    const char *sdk[5]; /* crates that are copied into the project */
} languages[] = {
    {"rust", "Rust", {"ssvm", "ssvm-bindgen", "ssvm-bindgen-macro", "ssvm-state", NULL}},
    {"c", "C", {NULL}},
    {"go", "Go", {NULL}},
    {"assemblyscript", "AssemblyScript", {NULL}},
};
static const char *const kinds[] = {"function", "page", "ai"};
#define LANG_RUST 0
#define LANG_C 1
#define KIND_AI 2

struct words {
    const char *name;
    char ident[PLAT_NAME_MAX + 1];
};

/* Copy with @NAME@ and @IDENT@ replaced. */
static void fill(struct sv_buf *to, const char *text, size_t len, const struct words *words)
{
    const char *end = text + len;

    while (text < end) {
        const char *at = memchr(text, '@', (size_t)(end - text));

        sv_buf_append(to, text, (size_t)((at ? at : end) - text));
        if (!at)
            return;
        if (end - at >= 6 && memcmp(at, "@NAME@", 6) == 0) {
            sv_buf_puts(to, words->name);
            text = at + 6;
        } else if (end - at >= 7 && memcmp(at, "@IDENT@", 7) == 0) {
            sv_buf_puts(to, words->ident);
            text = at + 7;
        } else {
            sv_buf_putc(to, '@');
            text = at + 1;
        }
    }
}

/* What is there already is added to: a page's lines to the manifest. */
static bool copy_file(const char *from, const char *to, const struct words *words)
{
    struct sv_buf text, old = {0}, filled;
    bool ok = cln_read_file(from, FILE_MAX, &text);

    if (!ok)
        return false;
    sv_buf_init(&filled, 2 * FILE_MAX);
    if (access(to, F_OK) == 0 && cln_read_file(to, FILE_MAX, &old))
        sv_buf_append(&filled, old.data, old.len);
    if (memchr(text.data ? (const char *)text.data : "", '\0', text.len))
        sv_buf_append(&filled, text.data, text.len);
    else
        fill(&filled, sv_buf_cstr(&text), text.len, words);
    ok = !filled.failed && cln_write_file(to, filled.data, filled.len, 0644);
    sv_buf_release(&filled);
    sv_buf_release(&old);
    sv_buf_release(&text);
    return ok;
}

static bool make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return true;
    cln_message("cannot make '%s': %s", path, strerror(errno));
    return false;
}

static bool copy_folder(const char *from, const char *to, const struct words *words,
                        unsigned depth);

static bool copy_entry(const char *from, const char *to, const char *name,
                       const struct words *words, unsigned depth)
{
    char source[PATH_MAX], target[PATH_MAX];
    struct stat st;

    if ((size_t)snprintf(source, sizeof source, "%s/%s", from, name) >= sizeof source ||
        (size_t)snprintf(target, sizeof target, "%s/%s", to, name) >= sizeof target)
        return false;
    if (stat(source, &st) < 0) {
        cln_message("'%s': %s", source, strerror(errno));
        return false;
    }
    return S_ISDIR(st.st_mode) ? copy_folder(source, target, words, depth + 1)
                               : copy_file(source, target, words);
}

static bool copy_folder(const char *from, const char *to, const struct words *words, unsigned depth)
{
    DIR *dir = depth < DEPTH_MAX ? opendir(from) : NULL;
    struct dirent *entry;
    bool ok = dir && make_folder(to);

    if (!dir)
        cln_message("'%s': %s", from, strerror(errno));
    while (ok && (entry = readdir(dir))) {
        const char *name = entry->d_name;

        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, "target") != 0)
            ok = copy_entry(from, to, name, words, depth);
    }
    if (dir)
        closedir(dir);
    return ok;
}

static bool find_folder(const char *const *places, char *ret, size_t size)
{
    if (cln_find_beside(places, 2, ret, size))
        return true;
    cln_message("the templates are not there: this installation lacks share/ssvm");
    return false;
}

/* TEMPLATES/NAME over the project, where there is one. */
static bool lay_over(const char *templates, const char *name, const struct words *words,
                     bool *found)
{
    char from[PATH_MAX];

    if ((size_t)snprintf(from, sizeof from, "%s/%s", templates, name) >= sizeof from)
        return false;
    *found = access(from, F_OK) == 0;
    return !*found || copy_folder(from, words->name, words, 0);
}

static bool copy_sdk(const char *const *crates, const struct words *words)
{
    static const char *const places[] = {"sdk-rust", "../../share/ssvm/rust"};
    char sdk[PATH_MAX], to[PATH_MAX];

    if (!*crates)
        return true;
    snprintf(to, sizeof to, "%s/sdk", words->name);
    if (!find_folder(places, sdk, sizeof sdk) || !make_folder(to))
        return false;
    for (; *crates; crates++) {
        char from[PATH_MAX + 64], crate[PATH_MAX + 64];

        snprintf(from, sizeof from, "%s/%s", sdk, *crates);
        snprintf(crate, sizeof crate, "%s/%s", to, *crates);
        if (!copy_folder(from, crate, words, 0))
            return false;
    }
    return true;
}

/* The headers of what the host has. */
static bool copy_headers(const struct words *words)
{
    static const char *const places[] = {"sdk-c", "../../share/ssvm/c"};
    char from[PATH_MAX], to[PATH_MAX];

    snprintf(to, sizeof to, "%s/sdk", words->name);
    return find_folder(places, from, sizeof from) && copy_folder(from, to, words, 0);
}

/* The folders of the template over each other: LANG-KIND, or LANG and KIND. */
static bool lay(const char *templates, const char *lang, const char *kind,
                const struct words *words)
{
    char name[64];
    bool found;

    snprintf(name, sizeof name, "%s-%s", lang, kind);
    if (!lay_over(templates, name, words, &found))
        return false;
    if (found)
        return true;
    if (!lay_over(templates, lang, words, &found))
        return false;
    if (!found)
        cln_message("the template of '%s' is not there", lang);
    return found && (strcmp(kind, "function") == 0 || lay_over(templates, kind, words, &found));
}

static int make(const struct cln_args *args, size_t lang, const char *kind)
{
    static const char *const places[] = {"sdk-templates", "../../share/ssvm/templates"};
    static const char *const of_ai[] = {"ssvm-tensorflow", NULL};
    struct words words = {.name = args->operands[0]};
    char templates[PATH_MAX];

    for (size_t i = 0; words.name[i]; i++)
        words.ident[i] = words.name[i] == '-' ? '_' : words.name[i];
    if (!find_folder(places, templates, sizeof templates) ||
        !lay(templates, languages[lang].name, kind, &words) ||
        !copy_sdk(languages[lang].sdk, &words) || (lang == LANG_C && !copy_headers(&words)) ||
        (strcmp(kind, "ai") == 0 && !copy_sdk(of_ai, &words)))
        return CLN_STATUS_ERROR;
    printf("made %s: %s, in %s\nnext: cd %s && ssvm dev\n", words.name, kind,
           languages[lang].called, words.name);
    return cln_finish(0);
}

int cln_new(const struct cln_args *args)
{
    const char *lang = cln_option(args, "lang"), *kind = cln_option(args, "template");
    const char *name = args->noperands == 1 ? args->operands[0] : "";
    size_t l = 0, k = 0;

    while (lang && l < SV_COUNT(languages) && strcmp(languages[l].name, lang) != 0)
        l++;
    while (kind && k < SV_COUNT(kinds) && strcmp(kinds[k], kind) != 0)
        k++;
    if (l == SV_COUNT(languages))
        return cln_usage(args, "no template in '%s': rust, c, go or assemblyscript", lang);
    if (k == SV_COUNT(kinds))
        return cln_usage(args, "no template '%s': function, page or ai", kind);
    if (k == KIND_AI && l != LANG_RUST)
        return cln_usage(args, "the template 'ai' is there in rust alone");
    if (!plat_name_valid(name, strlen(name)) || (name[0] >= '0' && name[0] <= '9'))
        return cln_usage(args, "which name? Letters, digits, '-', '_', a letter first, at most %d",
                         PLAT_NAME_MAX);
    if (access(name, F_OK) == 0)
        return cln_fail("'%s' is there already", name);
    return make(args, l, kinds[k]);
}
