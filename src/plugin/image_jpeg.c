/* JPEG by libjpeg-turbo. CMYK is taken to be inverted, as everybody's files are; profiles and the
 * orientation of EXIF are not looked at. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "plugin/image.h"

#define SCANS_MAX 100
/* Pixels of all scans together: a progressive file decodes the whole picture once for each of its
 * scans, which may be a few bytes long. */
#define SCAN_PIXELS_MAX ((uint64_t)1 << 31)

struct decoder {
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    struct picture *picture;
    uint8_t *row;
    jmp_buf failed;
};

static void fail_exit(j_common_ptr common)
{
    struct decoder *d = common->client_data;
    char text[JMSG_LENGTH_MAX];

    common->err->format_message(common, text);
    picture_fail(d->picture, "not a JPEG picture that can be read: %s", text);
    longjmp(d->failed, 1);
}

/* Warnings of damage are passed over, as most programs do; not the end of the file. */
static void message(j_common_ptr common, int level)
{
    struct decoder *d = common->client_data;

    if (level >= 0 || common->err->msg_code != JWRN_JPEG_EOF)
        return;
    picture_fail(d->picture, "a JPEG picture that is cut off");
    longjmp(d->failed, 1);
}

static void output_nothing(j_common_ptr common)
{
    (void)common;
}

static void watch(j_common_ptr common)
{
    struct decoder *d = common->client_data;
    uint64_t scans = (uint64_t)d->d.input_scan_number;

    if (picture_stopped(d->picture))
        longjmp(d->failed, 1);
    if (scans > SCANS_MAX || scans * d->d.image_width * d->d.image_height > SCAN_PIXELS_MAX) {
        picture_fail(d->picture, "a JPEG picture of too many scans");
        longjmp(d->failed, 1);
    }
}

/* What is kept of a picture of several scans: its coefficients. */
static uint64_t coefficients(const struct jpeg_decompress_struct *d)
{
    uint64_t bytes = 0;

    for (int i = 0; i < d->num_components; i++) {
        const jpeg_component_info *c = &d->comp_info[i];
        uint64_t across = ((uint64_t)d->image_width * (unsigned)c->h_samp_factor) /
                              (8 * (unsigned)d->max_h_samp_factor) +
                          8;
        uint64_t down = ((uint64_t)d->image_height * (unsigned)c->v_samp_factor) /
                            (8 * (unsigned)d->max_v_samp_factor) +
                        8;

        bytes += across * down * sizeof(JBLOCK);
    }
    return bytes;
}

static int begin(struct decoder *d)
{
    struct jpeg_decompress_struct *j = &d->d;
    uint64_t hold;

    jpeg_mem_src(j, d->picture->bytes, d->picture->len);
    jpeg_read_header(j, TRUE);
    if (picture_begin(d->picture, j->image_width, j->image_height) < 0)
        return -1;
    hold = (uint64_t)j->image_width * 64;
    if (jpeg_has_multiple_scans(j))
        hold += coefficients(j);
    if (picture_hold(d->picture, hold) < 0)
        return -1;
    j->mem->max_memory_to_use = (long)d->picture->limits->max_bytes;
    j->out_color_space =
        j->jpeg_color_space == JCS_CMYK || j->jpeg_color_space == JCS_YCCK ? JCS_CMYK : JCS_RGB;
    j->dct_method = JDCT_ISLOW;
    j->do_fancy_upsampling = TRUE;
    d->progress.progress_monitor = watch;
    j->progress = &d->progress;
    jpeg_start_decompress(j);
    d->row = malloc((size_t)j->output_width * (size_t)j->output_components + 4);
    return d->row ? 0 : picture_fail(d->picture, "out of memory for a picture");
}

/* In place: four bytes become three. */
static void flatten_cmyk(uint8_t *row, uint32_t width)
{
    uint8_t *to = row;

    for (uint32_t x = 0; x < width; x++, row += 4) {
        unsigned k = row[3];

        for (unsigned i = 0; i < 3; i++)
            *to++ = (uint8_t)((row[i] * k + 127) / 255);
    }
}

static int decode(struct decoder *d)
{
    if (setjmp(d->failed))
        return -1;
    jpeg_create_decompress(&d->d);
    if (begin(d) < 0)
        return -1;
    while (d->d.output_scanline < d->d.output_height) {
        JSAMPROW row = d->row;

        jpeg_read_scanlines(&d->d, &row, 1);
        if (d->d.out_color_space == JCS_CMYK)
            flatten_cmyk(d->row, d->d.output_width);
        if (!picture_row(d->picture, d->row))
            return -1;
    }
    return 0;
}

int picture_decode_jpeg(struct picture *p)
{
    struct decoder *d = calloc(1, sizeof *d);
    int r;

    if (!d)
        return picture_fail(p, "out of memory for a picture");
    d->picture = p;
    d->d.err = jpeg_std_error(&d->errors);
    d->errors.error_exit = fail_exit;
    d->errors.emit_message = message;
    d->errors.output_message = output_nothing;
    d->d.client_data = d;
    r = decode(d);
    jpeg_destroy_decompress(&d->d);
    free(d->row);
    free(d);
    return r;
}
