/* Calls back into first.c; tables of numbers and of strings, constants of both sizes. */
#include "parts.h"

const uint32_t part_table[8] = {2, 3, 5, 7, 11, 13, 17, 0x12345678};

double part_scale(double x, uint32_t kind)
{
    switch (kind) {
    case 0:
        return x * 1.5;
    case 1:
        return x + part_weights[1];
    case 2:
        return -x;
    case 3:
        return x / 7.25 + part_weights[3];
    case 4:
        return 1e10 - x * x;
    case 5:
        return part_table[(uint64_t)x % 8] * 0.001;
    case 6:
        return x * part_weights[2];
    case 7:
        return part_step(4, (uint32_t)(uint64_t)x);
    default:
        return 42.75;
    }
}

char part_letter(uint32_t word, uint32_t i)
{
    const char *text;

    switch (word) {
    case 0:
        text = "zero";
        break;
    case 1:
        text = "one";
        break;
    case 2:
        text = "two";
        break;
    case 3:
        text = "three";
        break;
    case 4:
        text = "four";
        break;
    default:
        text = "many of them";
        break;
    }
    return text[i];
}

float part_single(uint32_t kind)
{
    switch (kind) {
    case 0:
        return 1.1f;
    case 1:
        return 2.7f;
    case 2:
        return 3.3f;
    case 5:
        return 4.9f;
    case 6:
        return 8.125f;
    case 7:
        return 1e6f;
    default:
        return 0.3f;
    }
}
