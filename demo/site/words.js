// Every word of the pages in Chinese, and in both languages what the programs say. The pages themselves are in English.

// For elements with data-t (their text) or data-t-label (their aria-label).
export const chinese = {
  'motto': '静态网页；每个按钮都在全新的沙箱里调用一个 WebAssembly 函数。',
  'nav-lunch': '午餐', 'nav-image': '图片', 'nav-hello': '问候',

  'lunch-title': '看看你中午吃了什么？- ssvm',
  'lunch-question': '看看你中午吃了什么？',
  'lunch-lead': '一个 Rust 函数来看你的图片：它在沙箱里解码，再让 MobileNet 模型（由本机推理库运行）判断图片里是什么。',
  'asking-title': '图片', 'answer-title': '回答',
  'invite': '把图片拖到这里，或者选择一张', 'invite-formats': 'JPEG 或 PNG，最大 16 MB',
  'answer-hint': '选好图片后，回答会出现在这里。',
  'choose': '选择图片文件', 'ask': '这是什么食物？',
  'no-picture': '如果没有照片，可以使用我们提供的图片：',
  'our-hotdog': '热狗', 'our-pancake': '薄煎饼', 'our-pizza': '披萨', 'our-sushi': '寿司', 'our-nothing': '没有食物',
  'about-title': '谁在回答',
  'about-shipped': 'ssvm 自带的模型只认识六十种食物的图画（用字体里的图形画成），其余的它说“没有食物”。它从没见过照片：你真正的午餐多半会难倒它。',
  'about-curl': '不用网页，也可以调用同一个函数：',

  'image-title': '图片处理 - ssvm', 'image-heading': '一张图片', 'before': '之前', 'after': '之后', 'hint': '请选择要做的处理',
  'grayscale': '灰度', 'flip': '翻转', 'rotate': '旋转', 'watermark': '水印', 'thumbnail': '缩略图',
  'text': '文字', 'side': '边长', 'own': '自己的图片', 'swap': '继续处理结果', 'sample': '示例图片',

  'hello-title': '问候 - ssvm', 'greeting': '问候', 'say': '打招呼', 'your-name': '你的名字',
  'counting': '计数', 'counting-tag': 'C 语言，通过 CGI 调用的普通程序', 'count': '数一数', 'your-text': '要计数的文字',
};

// What the programs say: [English, Chinese]; {name} is filled in.
export const said = {
  'in the sandbox': ['in the sandbox', '沙箱内'],
  'round trip': ['round trip', '往返'],
  'function': ['function', '函数'],
  'sent': ['sent', '发送'],
  'received': ['received', '收到'],
  'not shown': ['this file is not a picture that the browser can show', '浏览器无法显示这个文件，它不是图片'],
  'counted': ['{words} words, {lines} line ends, {bytes} bytes', '{words} 个词，{lines} 个换行，{bytes} 字节'],

  'decoding': ['decoding', '解码'],
  'the model': ['the model', '模型'],
  'answered by': ['answered by', '推理库'],
  'sure': ['Confidence: {word}, {percent}', '可信度：{word}，{percent}'],
  'very high': ['very high', '很高'], 'high': ['high', '高'], 'medium': ['medium', '中等'], 'low': ['low', '低'],
  'food very high': ['It is very likely {a} in the picture', '图片里很可能是{a}'],
  'food high': ['It is likely {a} in the picture', '图片里可能是{a}'],
  'food medium': ['It could be {a} in the picture', '图片里也许是{a}'],
  'food low': ['Hard to say: perhaps it is {a} in the picture', '不太确定，图片里或许是{a}'],
  'none very high': ['It is very likely that there is no food in the picture', '图片里很可能没有食物'],
  'none high': ['It is likely that there is no food in the picture', '图片里可能没有食物'],
  'none medium': ['It could be that there is no food in the picture', '图片里也许没有食物'],
  'none low': ['Hard to say: perhaps there is no food in the picture', '不太确定，图片里或许没有食物'],

  'alt': ['the chosen picture: {name}', '所选的图片：{name}'],
  'sending': ['sending the picture: {percent}', '正在发送图片：{percent}'],
  'looking': ['looking at it: {seconds} s', '正在识别：{seconds} 秒'],
  'no inference': ['This server was started without an inference library, so nothing looks at the pictures. With a network, "make demo" fetches one; the other pages work without.',
    '这个服务器启动时没有推理库，所以无法识别图片。有网络时，运行 make demo 会下载一个；其他页面不受影响。'],
  'own model': ['This server looks with a model of its own: {name}.', '这个服务器使用自己的模型：{name}。'],

  'not a picture': ['This file is not a picture: choose a JPEG or a PNG file.', '这个文件不是图片：请选择 JPEG 或 PNG 文件。'],
  'too large': ['This file is too large: {size}; the server takes at most 16 MB.', '文件太大：{size}；服务器最多接受 16 MB。'],
  'too large for it': ['This file is too large for the server.', '对服务器来说，这个文件太大了。'],
  'empty': ['This file is empty.', '这个文件是空的。'],
  'refused': ['The function cannot read this picture: {message}', '函数无法读取这张图片：{message}'],
  'gone': ['The server does not answer. Does it still run?', '服务器没有回应。它还在运行吗？'],
  'busy': ['The server has too much to do: try again in a moment.', '服务器太忙了，请稍后再试。'],
  'too slow': ['Looking took too long and was stopped.', '识别时间太长，已被停止。'],
  'no function': ['This server has no function for that.', '这个服务器没有对应的函数。'],
  'broken': ['The function does not start: was the server started without an inference library? ({message})', '函数无法启动：服务器启动时是不是没有推理库？（{message}）'],
  'failed': ['The function failed: {message}', '函数出错：{message}'],
  'odd': ['The server gave an answer that this page does not understand.', '服务器的回答无法理解。'],
};

// The model's labels.
export const foods = {
  'Pancake': '薄煎饼', 'Hot dog': '热狗', 'Pizza': '披萨', 'Hamburger': '汉堡', 'French fries': '薯条', 'Sushi': '寿司', 'Taco': '塔可', 'Burrito': '墨西哥卷饼',
  'Salad': '沙拉', 'Noodle soup': '汤面', 'Spaghetti': '意大利面', 'Curry rice': '咖喱饭', 'Bento box': '便当', 'Rice ball': '饭团', 'Rice': '米饭',
  'Fried shrimp': '炸虾', 'Oden': '关东煮', 'Dango': '团子', 'Dumpling': '饺子', 'Takeout box': '外卖盒', 'Soft ice cream': '甜筒冰淇淋', 'Doughnut': '甜甜圈',
  'Cookie': '曲奇', 'Birthday cake': '生日蛋糕', 'Shortcake': '奶油蛋糕', 'Cupcake': '纸杯蛋糕', 'Pie': '派', 'Chocolate bar': '巧克力', 'Lollipop': '棒棒糖',
  'Custard': '布丁', 'Bread': '面包', 'Croissant': '牛角面包', 'Baguette': '法棍', 'Pretzel': '椒盐卷饼', 'Bagel': '贝果', 'Waffle': '华夫饼', 'Cheese': '奶酪',
  'Meat on bone': '带骨肉', 'Poultry leg': '鸡腿', 'Steak': '牛排', 'Bacon': '培根', 'Sandwich': '三明治', 'Stuffed flatbread': '夹馅面饼', 'Fried egg': '煎蛋',
  'Paella': '海鲜饭', 'Stew': '炖菜', 'Cereal bowl': '麦片', 'Popcorn': '爆米花', 'Apple': '苹果', 'Banana': '香蕉', 'Grapes': '葡萄', 'Strawberry': '草莓',
  'Watermelon': '西瓜', 'Pineapple': '菠萝', 'Avocado': '牛油果', 'Broccoli': '西兰花', 'Corn': '玉米', 'Mushroom': '蘑菇', 'Tomato': '番茄', 'Carrot': '胡萝卜',
  'background': '没有食物',
};

// Labels that English uses without an article.
export const uncounted = new Set(['French fries', 'Sushi', 'Spaghetti', 'Noodle soup', 'Curry rice', 'Rice', 'Fried shrimp', 'Oden', 'Dango', 'Bread', 'Cheese',
  'Meat on bone', 'Bacon', 'Paella', 'Popcorn', 'Grapes', 'Broccoli', 'Corn', 'Custard']);
