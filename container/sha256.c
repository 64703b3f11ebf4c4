/*
 * The module _sha256 for a Python whose own does not link: Debian 13's archive has the interface of
 * _sha2 and leaves out what is under it.  FIPS 180-4; the part of the interface that differ uses.
 */
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 64, DIGEST = 32 };

typedef struct {
    uint32_t sums[8];
    uint64_t length; /* bytes so far */
    uint8_t rest[BLOCK]; /* those of them that do not fill a block */
} State;

typedef struct {
    PyObject_HEAD
    State state;
} Hash;

static const uint32_t first_sums[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turned(uint32_t word, int by)
{
    return word >> by | word << (32 - by);
}

static void add_block(uint32_t *sums, const uint8_t *block)
{
    uint32_t words[64];
    uint32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    uint32_t e = sums[4], f = sums[5], g = sums[6], h = sums[7];

    for (int i = 0; i < 16; i++, block += 4)
        words[i] = (uint32_t)block[0] << 24 | block[1] << 16 | block[2] << 8 | block[3];
    for (int i = 16; i < 64; i++) {
        uint32_t early = words[i - 15], late = words[i - 2];
        words[i] = words[i - 16] + words[i - 7] + (turned(early, 7) ^ turned(early, 18) ^ early >> 3) +
                   (turned(late, 17) ^ turned(late, 19) ^ late >> 10);
    }
    for (int i = 0; i < 64; i++) {
        uint32_t one = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) +
                       constants[i] + words[i];
        uint32_t two = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + one;
        d = c, c = b, b = a, a = one + two;
    }
    sums[0] += a, sums[1] += b, sums[2] += c, sums[3] += d;
    sums[4] += e, sums[5] += f, sums[6] += g, sums[7] += h;
}

static void add(State *state, const uint8_t *data, size_t length)
{
    size_t held = state->length % BLOCK;

    state->length += length;
    if (held) {
        size_t part = length < BLOCK - held ? length : BLOCK - held;
        memcpy(state->rest + held, data, part);
        if (held + part < BLOCK)
            return;
        add_block(state->sums, state->rest);
        data += part;
        length -= part;
    }
    for (; length >= BLOCK; data += BLOCK, length -= BLOCK)
        add_block(state->sums, data);
    memcpy(state->rest, data, length);
}

static PyObject *update(PyObject *self, PyObject *data)
{
    Py_buffer buffer;

    if (PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    add(&((Hash *)self)->state, buffer.buf, (size_t)buffer.len);
    PyBuffer_Release(&buffer);
    Py_RETURN_NONE;
}

static PyObject *hexdigest(PyObject *self, PyObject *nothing)
{
    State state = ((Hash *)self)->state;
    uint64_t bits = state.length * 8;
    uint8_t end[BLOCK + 8] = {0x80};
    size_t padding = BLOCK - (state.length + 8) % BLOCK;
    char text[2 * DIGEST + 1];

    (void)nothing;
    for (int i = 0; i < 8; i++)
        end[padding + i] = (uint8_t)(bits >> (56 - 8 * i));
    add(&state, end, padding + 8);
    for (int i = 0; i < 8; i++)
        sprintf(text + 8 * i, "%08x", state.sums[i]);
    return PyUnicode_FromString(text);
}

static PyMethodDef methods[] = {
    {"update", update, METH_O, NULL}, {"hexdigest", hexdigest, METH_NOARGS, NULL}, {0}};
static PyType_Slot slots[] = {{Py_tp_methods, methods}, {0}};
static PyType_Spec spec = {"_sha256.SHA256Type", sizeof(Hash), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
static PyTypeObject *type;

static PyObject *sha256(PyObject *module, PyObject *arguments)
{
    PyObject *data = NULL;
    Hash *hash;

    (void)module;
    if (!PyArg_UnpackTuple(arguments, "sha256", 0, 1, &data) || !(hash = PyObject_New(Hash, type)))
        return NULL;
    hash->state = (State){.length = 0};
    memcpy(hash->state.sums, first_sums, sizeof first_sums);
    if (data) {
        PyObject *done = update((PyObject *)hash, data);
        if (!done) {
            Py_DECREF(hash);
            return NULL;
        }
        Py_DECREF(done);
    }
    return (PyObject *)hash;
}

static PyMethodDef functions[] = {{"sha256", sha256, METH_VARARGS, NULL}, {0}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_sha256", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__sha256(void)
{
    if (!type && !(type = (PyTypeObject *)PyType_FromSpec(&spec)))
        return NULL;
    return PyModule_Create(&module);
}
