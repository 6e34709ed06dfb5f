/* SHA-256 and HMAC: the published examples, both block functions, any cutting into pieces, and the
 * system's sha256sum on random lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/sha256.h"

static const char *hex(const uint8_t digest[SV_SHA256_LEN])
{
    static char text[2 * SV_SHA256_LEN + 1];

    for (size_t i = 0; i < SV_SHA256_LEN; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return text;
}

static void portable(const void *bytes, size_t len, uint8_t ret[SV_SHA256_LEN])
{
    struct sv_sha256 s;

    sv_sha256_init_portable(&s);
    sv_sha256_add(&s, bytes, len);
    sv_sha256_end(&s, ret);
}

/* NIST, "Examples with Intermediate Values": SHA-256, and the empty message of its test vectors. */
static void published(void **state)
{
    static const struct {
        const char *message, *digest;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrl"
         "mnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    uint8_t digest[SV_SHA256_LEN];
    char *as = malloc(1000000);

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        sv_sha256(cases[i].message, strlen(cases[i].message), digest);
        assert_string_equal(hex(digest), cases[i].digest);
        portable(cases[i].message, strlen(cases[i].message), digest);
        assert_string_equal(hex(digest), cases[i].digest);
    }
    memset(as, 'a', 1000000);
    sv_sha256(as, 1000000, digest);
    assert_string_equal(hex(digest),
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(as);
}

/* Every length around the block size, in two pieces at every place: all the same. */
static void pieces(void **state)
{
    uint8_t bytes[300], whole[SV_SHA256_LEN], other[SV_SHA256_LEN];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 167 >> 3);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        portable(bytes, len, whole);
        sv_sha256(bytes, len, other);
        assert_memory_equal(whole, other, sizeof whole);
        for (size_t cut = 0; cut <= len; cut += 1 + len / 70) {
            struct sv_sha256 s;

            sv_sha256_init(&s);
            sv_sha256_add(&s, bytes, cut);
            sv_sha256_add(&s, bytes + cut, len - cut);
            sv_sha256_end(&s, other);
            assert_memory_equal(whole, other, sizeof whole);
        }
    }
}

/* RFC 4231; case 5 is of a truncated MAC, which there is none of here. */
static void hmac(void **state)
{
    static const struct {
        uint8_t key_byte, key_step, key_len;
        const char *key, *message;
        uint8_t byte, count;
        const char *mac;
    } cases[] = {
        {.key_byte = 0x0b,
         .key_len = 20,
         .message = "Hi There",
         .mac = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {.key = "Jefe",
         .message = "what do ya want for nothing?",
         .mac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {.key_byte = 0xaa,
         .key_len = 20,
         .byte = 0xdd,
         .count = 50,
         .mac = "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {.key_byte = 0x01,
         .key_step = 1,
         .key_len = 25,
         .byte = 0xcd,
         .count = 50,
         .mac = "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
        {.key_byte = 0xaa,
         .key_len = 131,
         .message = "Test Using Larger Than Block-Size Key - Hash Key First",
         .mac = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {.key_byte = 0xaa,
         .key_len = 131,
         .message = "This is a test using a larger than block-size key and a larger than "
                    "block-size data. The key needs to be hashed before being used by the HMAC "
                    "algorithm.",
         .mac = "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        uint8_t key[200], repeated[200], mac[SV_SHA256_LEN];
        size_t key_len = cases[i].key ? strlen(cases[i].key) : cases[i].key_len;
        struct sv_hmac m;

        for (size_t k = 0; k < key_len; k++)
            key[k] = cases[i].key ? (uint8_t)cases[i].key[k]
                                  : (uint8_t)(cases[i].key_byte + k * cases[i].key_step);
        memset(repeated, cases[i].byte, sizeof repeated);
        sv_hmac_init(&m, key, key_len);
        if (cases[i].message)
            sv_hmac_add(&m, cases[i].message, strlen(cases[i].message));
        else
            sv_hmac_add(&m, repeated, cases[i].count);
        sv_hmac_end(&m, mac);
        assert_string_equal(hex(mac), cases[i].mac);
    }
}

static void secret_eq(void **state)
{
    uint8_t a[32] = {1, 2, 3}, b[32] = {1, 2, 3};

    (void)state;
    assert_true(sv_secret_eq(a, b, sizeof a));
    for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(sv_secret_eq(a, b, sizeof a));
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(sv_secret_eq(a, b, 0));
}

/* Another implementation, on lengths that nobody chose. */
static void other_program(void **state)
{
    char path[] = "/tmp/ssvm-sha256-XXXXXX", command[64], line[80];
    int fd = mkstemp(path);
    uint8_t *bytes = malloc(1 << 20), digest[SV_SHA256_LEN];
    uint64_t random = 88172645463325252u;

    (void)state;
    assert_true(fd >= 0);
    snprintf(command, sizeof command, "sha256sum < %s", path);
    for (int round = 0; round < 24; round++) {
        size_t len;
        FILE *f;

        for (size_t i = 0; i < 1 << 20; i += 4096) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            memcpy(bytes + i, &random, sizeof random);
        }
        len = random >> 20 & ((1u << (round % 20 + 1)) - 1);
        assert_int_equal(pwrite(fd, bytes, len, 0), len);
        assert_int_equal(ftruncate(fd, (off_t)len), 0);
        f = popen(command, "r"); /* NOLINT: a test's own fixed command */
        assert_non_null(f);
        assert_non_null(fgets(line, sizeof line, f));
        pclose(f);
        line[64] = '\0';
        sv_sha256(bytes, len, digest);
        assert_string_equal(hex(digest), line);
        portable(bytes, len, digest);
        assert_string_equal(hex(digest), line);
    }
    close(fd);
    unlink(path);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published), cmocka_unit_test(pieces),        cmocka_unit_test(hmac),
        cmocka_unit_test(secret_eq), cmocka_unit_test(other_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
