"""Sentences of the HTTP API itself, and of values that don't fit their field (`v_` and pydantic's own error type)."""

from gongfang.domain.messages import register

register(
    {
        "content_type_not_json": (
            "The body must be JSON: send the header `Content-Type: application/json` (it said {given}).",
            "请求体须为 JSON：请发送请求头 `Content-Type: application/json`（当前为 {given}）。",
        ),
        "v_name_character": (
            "The character {character} can't be seen or turns the text around; leave it out.",
            "字符 {character} 不可见或会改变文字方向，请删除。",
        ),
        "path_not_found": (
            "There is nothing at {path}; /api/v1/openapi.json lists what there is.",
            "路径 {path} 不存在，可用接口见 /api/v1/openapi.json。",
        ),
        "method_not_allowed": (
            "{path} does not take {method}; it takes {allowed}.",
            "{path} 不支持 {method}，支持的方法：{allowed}。",
        ),
        "http_error": ("The request cannot be answered (status {status}).", "请求无法处理（状态码 {status}）。"),
        "malformed_json": (
            "The body is not JSON: {detail} at character {position}.",
            "请求体不是合法的 JSON：第 {position} 个字符处 {detail}。",
        ),
        "body_too_large": (
            "The body has more than {limit} bytes; send less.",
            "请求体超过 {limit} 字节，请缩减后重试。",
        ),
        "request_broken_off": (
            "The request ended before its body did; nothing was kept. Send it again.",
            "请求在传完之前中断，未保存任何内容，请重新发送。",
        ),
        "parameter_unknown": (
            "This call has no such parameter; it has: {known}.",
            "此接口没有该参数，可用参数：{known}。",
        ),
        "parameter_repeated": ("Give this parameter once.", "该参数只能出现一次。"),
        "label_invalid": ("A label filter looks like `key=value`.", "标签过滤条件格式应为 `key=value`。"),
        "idempotency_key_invalid": (
            "An Idempotency-Key has 1 to 255 printable ASCII characters.",
            "Idempotency-Key 须为 1 至 255 个可打印 ASCII 字符。",
        ),
        "idempotency_key_reused": (
            "This Idempotency-Key was used for another request; use a new one for each.",
            "该 Idempotency-Key 已用于其他请求，请为每个请求使用新的值。",
        ),
        "idempotency_in_progress": (
            "The first request with this Idempotency-Key is still being worked on; try again shortly.",
            "使用该 Idempotency-Key 的首个请求仍在处理，请稍后重试。",
        ),
        "idempotency_answer_lost": (
            "The first request with this Idempotency-Key was carried out, but its answer was lost in a crash; "
            "look at {object}. Nothing was done again.",
            "使用该 Idempotency-Key 的首个请求已执行，但其应答因故障丢失；请查看 {object}。本次未重复执行。",
        ),
        "operation_failed": ("The operation failed; look at its steps.", "操作失败，请查看其步骤。"),
        "operation_cancelled": ("The operation was cancelled.", "操作已取消。"),
        "not_ready": ("The platform is not ready; `checks` says what is missing.", "平台尚未就绪，详见 checks。"),
        # uploads
        "filename_needed": (
            "Name the file: with `?filename=` for a raw body, in the part's Content-Disposition for multipart.",
            "请指定文件名：原始请求体用 `?filename=`，multipart 用该部分的 Content-Disposition。",
        ),
        "multipart_broken": (
            "The multipart body cannot be read: {detail}. Send one part named `file`.",
            "无法解析 multipart 请求体：{detail}。请发送一个名为 `file` 的部分。",
        ),
        "multipart_no_file": (
            "The multipart body has no part named `file`; send the file in one.",
            "multipart 请求体中没有名为 `file` 的部分，请将文件放入其中。",
        ),
        "multipart_two_files": (
            "The multipart body has several parts named `file`; send one file a call.",
            "multipart 请求体中有多个名为 `file` 的部分，每次只能上传一个文件。",
        ),
        # values
        "v_other": ("{detail}.", "{detail}。"),
        "v_zero_byte": ("No text may hold a zero character.", "文本不得包含空字符（U+0000）。"),
        "v_missing": ("This is needed.", "必填。"),
        "v_extra_forbidden": ("There is no such field; check its spelling.", "没有该字段，请检查拼写。"),
        "v_string_type": ("This has to be text.", "必须是字符串。"),
        "v_string_too_short": ("At least {min_length} characters.", "至少 {min_length} 个字符。"),
        "v_string_too_long": ("At most {max_length} characters.", "最多 {max_length} 个字符。"),
        "v_string_pattern_mismatch": ("This has to match `{pattern}`.", "格式须匹配 `{pattern}`。"),
        "v_string_unicode": ("This is not valid Unicode.", "不是合法的 Unicode 文本。"),
        "v_int_type": ("This has to be a whole number.", "必须是整数。"),
        "v_int_parsing": ("This has to be a whole number.", "必须是整数。"),
        "v_int_parsing_size": ("This number is too large.", "数值过大。"),
        "v_int_from_float": ("This has to be a whole number.", "必须是整数。"),
        "v_float_type": ("This has to be a number.", "必须是数字。"),
        "v_float_parsing": ("This has to be a number.", "必须是数字。"),
        "v_finite_number": ("This has to be a finite number.", "必须是有限的数字。"),
        "v_bool_type": ("This has to be true or false.", "必须是 true 或 false。"),
        "v_bool_parsing": ("This has to be true or false.", "必须是 true 或 false。"),
        "v_enum": ("This has to be one of: {expected}.", "必须是以下之一：{expected}。"),
        "v_literal_error": ("This has to be one of: {expected}.", "必须是以下之一：{expected}。"),
        "v_greater_than": ("This has to be more than {gt}.", "必须大于 {gt}。"),
        "v_greater_than_equal": ("This has to be at least {ge}.", "不能小于 {ge}。"),
        "v_less_than": ("This has to be less than {lt}.", "必须小于 {lt}。"),
        "v_less_than_equal": ("This has to be at most {le}.", "不能大于 {le}。"),
        "v_app_name": (
            "1 to 63 of a-z, 0-9 and -, neither beginning nor ending with -.",
            "由 1 至 63 个小写字母、数字或 - 组成，首尾不能是 -。",
        ),
        "v_too_short": ("At least {min_length} entries.", "至少 {min_length} 项。"),
        "v_too_long": ("At most {max_length} entries.", "最多 {max_length} 项。"),
        "v_dict_type": ("This has to be an object.", "必须是对象。"),
        "v_list_type": ("This has to be a list.", "必须是列表。"),
        "v_model_type": ("This has to be an object.", "必须是对象。"),
        "v_model_attributes_type": (
            "This has to be a JSON object (with `Content-Type: application/json`).",
            "必须是 JSON 对象（并使用 `Content-Type: application/json`）。",
        ),
        "v_datetime_type": (
            "This has to be a time like 2026-01-31T08:00:00+08:00.",
            "必须是时间，例如 2026-01-31T08:00:00+08:00。",
        ),
        "v_datetime_parsing": (
            "This has to be a time like 2026-01-31T08:00:00+08:00.",
            "必须是时间，例如 2026-01-31T08:00:00+08:00。",
        ),
        "v_datetime_from_date_parsing": (
            "This has to be a time like 2026-01-31T08:00:00+08:00 (in a URL, + is written %2B).",
            "必须是时间，例如 2026-01-31T08:00:00+08:00（URL 中 + 须写作 %2B）。",
        ),
        "v_timezone_aware": (
            "This time needs an offset, like 2026-01-31T08:00:00+08:00.",
            "时间须带时区偏移，例如 2026-01-31T08:00:00+08:00。",
        ),
    }
)
