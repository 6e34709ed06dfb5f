/* The node's key and tokens. Encrypts nothing: secret.c does. */
#include "control/key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_TEXT (2 * CTL_KEY_LEN + 1) /* hex digits and a line's end */

int ctl_random(struct sv_err *err, void *ret, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = getrandom((char *)ret + done, len - done, 0);

        if (n < 0 && errno != EINTR)
            return sv_fail(err, SV_EIO, SV_NO_OFFSET, "no random bytes: %s", strerror(errno));
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int ctl_uuid_new(struct sv_err *err, char ret[CTL_UUID_TEXT])
{
    uint8_t b[16];
    int r = ctl_random(err, b, sizeof b);

    if (r < 0)
        return r;
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4 (RFC 9562) */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(ret, CTL_UUID_TEXT,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
    return 0;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

static bool key_parse(const char text[KEY_TEXT], size_t len, uint8_t ret[CTL_KEY_LEN])
{
    bool good = len >= KEY_TEXT - 1 && (len == KEY_TEXT - 1 || text[KEY_TEXT - 1] == '\n');

    for (unsigned i = 0; good && i < CTL_KEY_LEN; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

        good = high >= 0 && low >= 0;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return good;
}

static int read_key(struct sv_err *err, int fd, const char *name, uint8_t ret[CTL_KEY_LEN])
{
    char text[KEY_TEXT + 1];
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot look at '%s': %s", name, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "'%s' in the data folder must be a file of the server's user that nobody "
                       "else can read: chown it, and chmod 600",
                       name);
    n = pread(fd, text, sizeof text, 0);
    if (n != KEY_TEXT && n != KEY_TEXT - 1)
        n = 0;
    if (!key_parse(text, (size_t)n, ret))
        return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET,
                       "'%s' in the data folder is not a key, which is 64 hex digits: take it from "
                       "a backup",
                       name);
    return 0;
}

int ctl_key_load(struct sv_err *err, int data_fd, const char *name, bool make,
                 uint8_t ret[CTL_KEY_LEN])
{
    int fd = openat(data_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r;

    if (fd < 0 && errno == ENOENT && make)
        return ctl_key_make(err, data_fd, name, ret);
    if (fd < 0)
        return sv_fail(err, errno == ENOENT ? SV_ENOTFOUND : SV_EIO, SV_NO_OFFSET,
                       "cannot open '%s' in the data folder: %s", name, strerror(errno));
    r = read_key(err, fd, name, ret);
    close(fd);
    return r;
}

/* Linked into place when it is whole: who finds it finds all of it, and two that start at once have
 * the same. */
static int write_key(int data_fd, const char *name, const char *text)
{
    char temporary[64];
    int fd, r = 0;

    snprintf(temporary, sizeof temporary, ".%s.%d", name, (int)getpid());
    unlinkat(data_fd, temporary, 0);
    fd = openat(data_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    if (write(fd, text, KEY_TEXT) != KEY_TEXT || fsync(fd) < 0)
        r = errno ? errno : EIO;
    close(fd);
    if (r == 0 && linkat(data_fd, temporary, data_fd, name, 0) < 0)
        r = errno;
    unlinkat(data_fd, temporary, 0);
    if (r == 0 && fsync(data_fd) < 0)
        r = errno;
    return r;
}

int ctl_key_make(struct sv_err *err, int data_fd, const char *name, uint8_t ret[CTL_KEY_LEN])
{
    char text[KEY_TEXT + 1];
    uint8_t key[CTL_KEY_LEN];
    int r = ctl_random(err, key, sizeof key);

    if (r < 0)
        return r;
    for (unsigned i = 0; i < sizeof key; i++)
        snprintf(text + (size_t)2 * i, 3, "%02x", key[i]);
    text[KEY_TEXT - 1] = '\n';
    r = write_key(data_fd, name, text);
    if (r == EEXIST)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "'%s' is in the data folder already", name);
    if (r)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot make '%s' in the data folder: %s", name,
                       strerror(r));
    memcpy(ret, key, sizeof key);
    return 0;
}

void ctl_key_derive(const uint8_t key[CTL_KEY_LEN], const char *purpose, uint8_t ret[CTL_KEY_LEN])
{
    struct sv_hmac h;

    sv_hmac_init(&h, key, CTL_KEY_LEN);
    sv_hmac_add(&h, purpose, strlen(purpose));
    sv_hmac_end(&h, ret);
}

int ctl_token_make(struct sv_err *err, char ret[CTL_TOKEN_TEXT], uint8_t ret_digest[SV_SHA256_LEN])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t bytes[33] = {0}; /* 32 of chance: 43 digits of base64url, as RFC 4648 has it */
    int r = ctl_random(err, bytes, 32);
    size_t at = 5;

    if (r < 0)
        return r;
    memcpy(ret, "ssvm_", 5);
    for (unsigned i = 0; i < sizeof bytes; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];

        for (int shift = 18; shift >= 0 && at < CTL_TOKEN_TEXT - 1; shift -= 6)
            ret[at++] = digits[three >> shift & 63];
    }
    ret[at] = '\0';
    ctl_token_digest(sv_str_of(ret), ret_digest);
    return 0;
}

void ctl_token_digest(struct sv_str token, uint8_t ret[SV_SHA256_LEN])
{
    sv_sha256(token.ptr, token.len, ret);
}
