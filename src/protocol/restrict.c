// SPDX-License-Identifier: Apache-2.0
// Restrictions and header patterns.
//
// Triton's patterns are RE2's. The C library's extended expressions say the same in other letters, so a pattern is
// rewritten: see rewrite(). That leaves the library without another one for what two options need.
#include "protocol/restrict.h"

#include <regex.h>

#include "base/mem.h"
#include "base/str.h"

static const char *const category_names[RESTRICT_CATEGORY_COUNT] = {
    [RESTRICT_HEALTH] = "health",
    [RESTRICT_METADATA] = "metadata",
    [RESTRICT_INFERENCE] = "inference",
    [RESTRICT_SHARED_MEMORY] = "shared-memory",
    [RESTRICT_MODEL_CONFIG] = "model-config",
    [RESTRICT_MODEL_REPOSITORY] = "model-repository",
    [RESTRICT_STATISTICS] = "statistics",
    [RESTRICT_TRACE] = "trace",
    [RESTRICT_LOGGING] = "logging",
};

const char *restrict_category_name(enum restrict_category category)
{
    return (unsigned)category < RESTRICT_CATEGORY_COUNT ? category_names[category] : "<invalid>";
}

void restrict_init(struct restrict_rules *r)
{
    *r = (struct restrict_rules){0};
}

void restrict_fini(struct restrict_rules *r)
{
    for (int i = 0; i < RESTRICT_CATEGORY_COUNT; i++) {
        mem_free(r->rules[i].key);
        mem_free(r->rules[i].value);
    }
    restrict_init(r);
}

static struct restrict_rule *find_rule(struct restrict_rules *r, struct slice name)
{
    for (int i = 0; i < RESTRICT_CATEGORY_COUNT; i++) {
        if (slice_is(name, category_names[i])) {
            return &r->rules[i];
        }
    }
    return NULL;
}

static struct nrd_status *set_rule(struct restrict_rule *rule, const char *prefix, struct slice key,
                                   struct slice value)
{
    struct str full = STR_INIT;
    str_append_cstr(&full, prefix);
    str_append_slice(&full, key);
    char *own_key = str_take(&full);
    char *own_value = mem_strndup(value.ptr, value.len);
    if (own_key == NULL || own_value == NULL) {
        mem_free(own_key);
        mem_free(own_value);
        return status_no_memory();
    }
    *rule = (struct restrict_rule){.key = own_key, .value = own_value};
    return NULL;
}

struct nrd_status *restrict_add(struct restrict_rules *r, const char *feature, const char *prefix,
                                struct slice categories, struct slice key, struct slice value)
{
    struct slice rest = categories;
    struct slice name;
    while (slice_cut(&rest, ',', &name)) {
        struct restrict_rule *rule = find_rule(r, name);
        if (rule == NULL) {
            return status_new(NRD_INVALID_ARG, "unknown restricted %s '%.*s' ", feature,
                              (int)name.len, name.ptr);
        }
        if (rule->key != NULL) {
            return status_new(NRD_INVALID_ARG,
                              "restricted %s '%.*s' can not be specified in multiple config groups",
                              feature, (int)name.len, name.ptr);
        }
        NRD_TRY(set_rule(rule, prefix, key, value));
    }
    return NULL;
}

const struct restrict_rule *restrict_rule(const struct restrict_rules *r,
                                          enum restrict_category category)
{
    const struct restrict_rule *rule = &r->rules[category];
    return rule->key == NULL ? NULL : rule;
}

bool restrict_passes(const struct restrict_rule *rule, struct slice value)
{
    size_t length = strlen(rule->value);
    if (value.ptr == NULL || value.len != length) {
        return false;
    }
    unsigned difference = 0;
    for (size_t i = 0; i < length; i++) {
        difference |= (unsigned char)value.ptr[i] ^ (unsigned char)rule->value[i];
    }
    return difference == 0;
}

// ---- header patterns ----

struct header_pattern {
    regex_t regex;
};

// Copies a bracket expression, in which RE2 escapes and POSIX does not: "\]" and "\\" become members by position, classes
// become [:names:]. Returns what follows it, NULL when it cannot be said in POSIX.
static const char *rewrite_bracket(const char *at, struct str *out)
{
    bool dash = false;
    bool close = false;
    bool caret = false;
    struct str members = STR_INIT;
    bool inverted = at[1] == '^';
    at += inverted ? 2 : 1;
    bool first = true;
    for (; *at != '\0' && (*at != ']' || first); at++, first = false) {
        char c = *at;
        if (c == '[' && at[1] == ':') {
            const char *end = strstr(at + 2, ":]");
            if (end == NULL) {
                break;
            }
            str_append(&members, at, (size_t)(end + 2 - at));
            at = end + 1;
            continue;
        }
        if (c == '\\') {
            c = *++at;
            if (c == 'd' || c == 'w' || c == 's') {
                str_append_cstr(&members, c == 'd' ? "0-9" : c == 'w' ? "_[:alnum:]" : "[:space:]");
                continue;
            }
            if (c == '-' || c == ']' || c == '^') {
                dash = dash || c == '-';
                close = close || c == ']';
                caret = caret || c == '^';
                continue;
            }
            if (c == '\0' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                (c >= '0' && c <= '9')) {
                break;
            }
        }
        str_append_char(&members, c);
    }
    bool good = *at == ']' && !members.failed;
    if (good) {
        // POSIX order: [^ ] members ^ - ]; a lone caret needs no brackets.
        if (caret && members.len == 0 && !close && !dash && !inverted) {
            str_append_cstr(out, "\\^");
        } else {
            str_append_cstr(out, inverted ? "[^" : "[");
            str_append_cstr(out, close ? "]" : "");
            if (caret && members.len == 0 && !close && !inverted) {
                str_append_cstr(out, "-^");
            } else {
                str_append_slice(out, str_slice(&members));
                str_append_cstr(out, caret ? "^" : "");
                str_append_cstr(out, dash ? "-" : "");
            }
            str_append_char(out, ']');
        }
    }
    str_fini(&members);
    return good ? at + 1 : NULL;
}

// RE2 to POSIX extended: \d and \D, (?: and (?i), lazy quantifiers (a search that only asks whether cannot tell them
// apart), escapes in brackets. \w \W \s \S \b are the C library's own. False for what has no counterpart.
static bool rewrite(const char *at, struct str *out)
{
    bool after_quantifier = false;
    while (*at != '\0') {
        bool quantifier = false;
        if (at[0] == '\\' && (at[1] == 'd' || at[1] == 'D')) {
            str_append_cstr(out, at[1] == 'd' ? "[0-9]" : "[^0-9]");
            at += 2;
        } else if (at[0] == '\\') {
            if (at[1] == '\0' || strchr("AzCQEpPxktnrfva01234567", at[1]) != NULL) {
                return false;
            }
            str_append(out, at, 2);
            at += 2;
        } else if (at[0] == '[') {
            at = rewrite_bracket(at, out);
            if (at == NULL) {
                return false;
            }
        } else if (strncmp(at, "(?i)", 4) == 0) {
            at += 4;
        } else if (at[0] == '(' && at[1] == '?') {
            if (at[2] != ':' && strncmp(at, "(?i:", 4) != 0) {
                return false;
            }
            str_append_char(out, '(');
            at += at[2] == ':' ? 3 : 4;
        } else if (*at == '?' && after_quantifier) {
            at++;
        } else {
            quantifier = *at == '*' || *at == '+' || *at == '?' || *at == '}';
            str_append_char(out, *at++);
        }
        after_quantifier = quantifier;
    }
    return !out->failed;
}

struct nrd_status *header_pattern_create(const char *text, struct header_pattern **pattern)
{
    if (text == NULL || text[0] == '\0') {
        *pattern = NULL;
        return NULL;
    }
    struct str posix = STR_INIT;
    struct header_pattern *made = mem_alloc(sizeof(*made));
    struct nrd_status *status = NULL;
    if (made == NULL) {
        status = status_no_memory();
    } else if (!rewrite(text, &posix)) {
        status = posix.failed ? status_no_memory()
                              : status_new(NRD_INVALID_ARG,
                                           "header pattern '%s' uses what is not supported", text);
    } else {
        int error = regcomp(&made->regex, str_cstr(&posix), REG_EXTENDED | REG_ICASE | REG_NOSUB);
        if (error != 0) {
            char reason[128];
            regerror(error, &made->regex, reason, sizeof(reason));
            status =
                status_new(NRD_INVALID_ARG, "header pattern '%s' is invalid: %s", text, reason);
        }
    }
    str_fini(&posix);
    if (status != NULL) {
        mem_free(made);
        return status;
    }
    *pattern = made;
    return NULL;
}

void header_pattern_destroy(struct header_pattern *pattern)
{
    if (pattern != NULL) {
        regfree(&pattern->regex);
        mem_free(pattern);
    }
}

bool header_pattern_matches(const struct header_pattern *pattern, struct slice name)
{
    char text[256];
    if (pattern == NULL || name.len >= sizeof(text) ||
        (name.len != 0 && memchr(name.ptr, '\0', name.len) != NULL)) {
        return false;
    }
    if (name.len != 0) {
        memcpy(text, name.ptr, name.len);
    }
    text[name.len] = '\0';
    return regexec(&pattern->regex, text, 0, NULL, 0) == 0;
}

struct nrd_status *header_check_forward(struct slice name)
{
    static const char *const reserved[] = {
        "sequence_id", "sequence_start", "sequence_end",       "priority",
        "timeout",     "headers",        "binary_data_output",
    };
    bool taken = slice_starts(name, SLICE("triton_"));
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        taken = taken || slice_is(name, reserved[i]);
    }
    return taken ? status_new(NRD_INVALID_ARG,
                              "Header '%.*s' is reserved for Triton usage and cannot be forwarded.",
                              (int)name.len, name.ptr)
                 : NULL;
}
